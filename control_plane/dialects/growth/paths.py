"""Ids in paths: whole numbers. What is none is no such thing, and neither is another tenant's."""

# ruff: noqa: TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from litestar import Request

from control_plane.dialects.bearer import provide_actor
from control_plane.dialects.services import services_of
from control_plane.domains.tenants import service as tenants
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    from control_plane.core.errors import NotFound

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
"""Fits into a bigint."""


def read_number(request: Request[Any, Any, Any], name: str, missing: NotFound) -> int:
    """Read an id from the path. Raises `missing` when it is no number."""
    text = str(request.path_params[name])
    if not _NUMBER.fullmatch(text):
        raise missing
    return int(text)


async def provide_tenant_id(request: Request[Any, Any, Any]) -> uuid.UUID:
    """Give the tenant that a path names: the caller's own, or any for a superadmin. Raises TenantNotFound."""
    actor, number = await provide_actor(request), read_number(request, "tenant_id", TenantNotFound())
    services = services_of(request)
    opened = services.system_transaction() if actor.is_superadmin else services.snapshot(actor.user_key[0])
    async with opened as db:
        return await tenants.resolve_number(db, number)
