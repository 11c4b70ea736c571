"""Projects: what visits, clicks and conversions belong to."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

Status: TypeAlias = Literal["active", "paused", "archived"]
"""Only an active project takes anything in."""

LONGEST_NAME: Final = 120
SECRET_PREFIX: Final = "sps_"  # noqa: S105  what they begin with, no secret
"""How secrets of projects begin."""
GRACE: Final = timedelta(hours=24)
"""How long the secret before serves on, so that ad networks can be given the new one in turn."""


class ProjectDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A project to be made."""

    name: str
    domain: str | None = None
    status: str = "active"
    currency: str = "USD"
    accepts_tag_sales: bool = True


class ProjectChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of a project; the rest stays. `domain`: null for none."""

    name: str | UnsetType = UNSET
    domain: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    accepts_tag_sales: bool | UnsetType = UNSET


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project as it is stored, without its secret. `currency`: of amounts that name none.

    `accepts_tag_sales`: whether pages may report checkouts and sales, which anybody could forge.
    `previous_secret_until`: until when the secret before the present one serves; None where none does.
    """

    tenant_id: uuid.UUID
    id: uuid.UUID
    name: str
    domain: str | None
    status: str
    currency: str
    accepts_tag_sales: bool
    previous_secret_until: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class NewSecret(msgspec.Struct, frozen=True):
    """A project whose secret was just drawn. `secret`: what nobody can show again."""

    project: Project
    secret: str

    def __repr__(self) -> str:
        """Keep the secret out of logs."""
        return f"NewSecret({self.project!r})"
