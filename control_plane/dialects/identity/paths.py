"""Ids in paths. What is no UUID is no such thing, and neither is what belongs to another tenant."""

# ruff: noqa: TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request

from control_plane.dialects.bearer import provide_actor
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    from control_plane.core.errors import NotFound


def read_id(request: Request[Any, Any, Any], name: str, missing: NotFound) -> uuid.UUID:
    """Read an id from the path. Raises `missing` when it is no UUID."""
    try:
        return msgspec.convert(request.path_params[name], uuid.UUID)
    except msgspec.ValidationError as error:
        raise missing from error


async def provide_tenant_id(request: Request[Any, Any, Any]) -> uuid.UUID:
    """Give the tenant that a path names: the caller's own, or any for a superadmin. Raises TenantNotFound."""
    actor, tenant_id = await provide_actor(request), read_id(request, "tenant_id", TenantNotFound())
    if tenant_id != actor.tenant_id and not actor.is_superadmin:
        raise TenantNotFound
    return tenant_id
