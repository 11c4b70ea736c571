"""Tenants: list, read, make, change."""

# ruff: noqa: TC001, TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.dialects.body import JsonBody
from control_plane.dialects.growth.page import PageOut, PageQueryIn, show_page
from control_plane.dialects.schemas import Line, Moment
from control_plane.dialects.services import Services
from control_plane.domains.tenants import service
from control_plane.domains.tenants.model import FIRST_PLAN, NewTenant, Status, Tenant, TenantChanges

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Plan = Annotated[str, Meta(min_length=1, max_length=50)]


class TenantCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant to make. `max_users`, `max_campaigns`: null for as many as they like."""

    name: Line
    slug: Annotated[str, Meta(max_length=100)]
    plan: Plan = FIRST_PLAN
    max_users: Count | None = None
    max_campaigns: Count | None = None


class TenantPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change. All but `name` is for superadmins."""

    name: Line | UnsetType = UNSET
    plan: Plan | UnsetType = UNSET
    max_users: Count | UnsetType | None = UNSET
    max_campaigns: Count | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET


class TenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Limits that are null do not exist. `status`: users sign in while it is Active or Trial."""

    id: int
    name: str
    slug: str
    plan: str
    max_users: int | None
    max_campaigns: int | None
    status: Status
    created_at: Moment
    updated_at: Moment


def show_tenant(tenant: Tenant) -> TenantOut:
    """Shape a tenant."""
    return TenantOut(
        id=tenant.number,
        name=tenant.name,
        slug=tenant.slug,
        plan=tenant.plan_code,
        max_users=tenant.max_users,
        max_campaigns=tenant.max_campaigns,
        status=tenant.status,
        created_at=tenant.created_at,
        updated_at=tenant.updated_at,
    )


@get("/tenants")
async def list_tenants(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> PageOut[TenantOut]:
    """List all tenants, newest first. For superadmins."""
    actor.require_superadmin()
    query = accept(decode_parameters(request.query_params, PageQueryIn))
    async with services.system_transaction() as db:
        page = await service.list_tenants(db, query.request)
    return show_page(page, [show_tenant(tenant) for tenant in page.items])


@get("/tenants/{tenant_id:str}")
async def get_tenant(services: NamedDependency[Services], of_tenant: NamedDependency[uuid.UUID]) -> TenantOut:
    """Get a tenant. For its users."""
    async with services.snapshot(of_tenant) as db:
        return show_tenant(await service.fetch_tenant(db, of_tenant))


@post("/tenants", status_code=201, dto=JsonBody[TenantCreateIn], return_dto=None)
async def create_tenant(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[TenantCreateIn]],
) -> TenantOut:
    """Make a tenant, without users. For superadmins."""
    actor.require_superadmin()
    body = accept(data)
    new = NewTenant(
        slug=body.slug,
        name=body.name,
        plan_code=body.plan,
        max_users=body.max_users,
        max_campaigns=body.max_campaigns,
    )
    async with services.system_transaction() as db:
        return show_tenant(await service.create_tenant(db, actor, new, services.clock()))


@patch("/tenants/{tenant_id:str}", dto=JsonBody[TenantPatchIn], return_dto=None)
async def update_tenant(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[TenantPatchIn]],
) -> TenantOut:
    """Change a tenant: its name for its admins, its plan, limits and status for superadmins.

    A tenant that is Suspended or Cancelled has no sessions and no keys that work.
    """
    actor.require_role(Role.ADMIN)
    body = accept(data)
    changes = TenantChanges(
        name=body.name,
        plan_code=body.plan,
        max_users=body.max_users,
        max_campaigns=body.max_campaigns,
        status=body.status,
    )
    if changes != TenantChanges(name=body.name):
        actor.require_superadmin()
    async with services.transaction(of_tenant) as db:
        return show_tenant(await service.change_tenant(db, actor, of_tenant, changes, services.clock()))
