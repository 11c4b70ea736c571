"""Query parameters that several lists have."""

# ruff: noqa: TC003  msgspec resolves the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.dialects.spans import read_span
from control_plane.dialects.tracking.page import PageQueryIn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from control_plane.domains.clicks.model import Span

Text = Annotated[str, Meta(max_length=1024)]
"""What is longer is nowhere stored."""


class ListQueryIn(PageQueryIn, frozen=True, kw_only=True):
    """Which events: of a project, and of a stretch of time, both its ends included, to the millisecond.

    A bare date as `to` includes that day. Moments without an offset are UTC.
    """

    project_id: uuid.UUID | UnsetType = UNSET
    from_: str | UnsetType = msgspec.field(default=UNSET, name="from")
    to: str | UnsetType = UNSET


Q = TypeVar("Q", bound=ListQueryIn)
V = TypeVar("V")


def read_query(parameters: Mapping[str, str], shape: type[Q]) -> tuple[Q, Span]:
    """Read the parameters of a list. Raises Invalid with every fault."""
    query = decode_parameters(parameters, shape)
    span, faults = read_span(query.value.from_, query.value.to, ("from", "to"))
    if faults := [*query.faults, *faults]:
        raise Invalid(faults)
    return query.value, span


def given(value: V | UnsetType) -> V | None:
    """Give a filter, None where there is none."""
    return None if isinstance(value, UnsetType) else value
