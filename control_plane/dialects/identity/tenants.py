"""Tenants: make, list, resolve, read, change, and what they used."""

# ruff: noqa: TC001, TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor, ActorKind, Role
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.core.email_addresses import LONGEST
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.page import PageQueryIn, PaginationMeta, show_meta
from control_plane.dialects.identity.tenant_shapes import (
    TenantDetailOut,
    TenantOut,
    show_detail,
    show_tenant,
    show_to_strangers,
)
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.tenants import service
from control_plane.domains.tenants.contacts import settle_contacts
from control_plane.domains.tenants.errors import TenantNotFound
from control_plane.domains.tenants.model import NewTenant, TenantChanges
from control_plane.domains.usage import service as usage

Address = Annotated[str, Meta(max_length=LONGEST)]
Phone = Annotated[str, Meta(max_length=32, pattern=r"^\+?[0-9(][0-9 ()./-]{3,30}\Z")]


class TenantCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant to make."""

    slug: Annotated[str, Meta(max_length=100)]
    name: Line
    contact_email: Address
    kind: Literal["Reseller", "Enterprise"] = "Enterprise"
    contact_name: Line | None = None
    contact_phone: Phone | None = None


class TenantUpdateIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; null clears. `allowed_origins`: all of them, as in https://shop.example:8443.

    `event_retention_days`: after how many days events no longer say who a visitor was; numbers stay.
    """

    name: Line | UnsetType = UNSET
    contact_name: Line | UnsetType | None = UNSET
    contact_email: Address | UnsetType = UNSET
    contact_phone: Phone | UnsetType | None = UNSET
    billing_email: Address | UnsetType | None = UNSET
    allowed_origins: (
        Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=50)] | UnsetType
    ) = UNSET
    event_retention_days: Annotated[int, Meta(ge=1, le=3650)] | UnsetType | None = UNSET


class TenantListOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tenants, newest first."""

    data: list[TenantOut]
    meta: PaginationMeta


class UsageQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which days (UTC), ends included; the last 30 where nothing is said."""

    from_: date | None = msgspec.field(default=None, name="from")
    to: date | None = None


class TenantUsageDayOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant used on a day (UTC).

    `renders_completed`: redirects of visitors and bots that have landed; prefetches are left out.
    `api_calls`: requests with a session or a key that were let in. `active_users`: users with such a
    session. A redirect takes no render time, nothing is stored, and nothing is billed.
    """

    usage_date: date
    renders_completed: int
    render_seconds: int = 0
    storage_bytes: int = 0
    api_calls: int
    active_users: int
    amount_billed_minor: int = 0
    billing_currency: str = "USD"
    billing_status: str = "not_billed"


class UsageOut(msgspec.Struct, frozen=True):
    """Every day of the span, the first one first."""

    data: list[TenantUsageDayOut]


@get("/tenants")
async def list_tenants(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> TenantListOut:
    """List all tenants, newest first. For superadmins."""
    actor.require_superadmin()
    query = accept(decode_parameters(request.query_params, PageQueryIn))
    async with services.system_transaction() as db:
        page = await service.list_tenants(db, query.request)
    return TenantListOut(data=[show_tenant(tenant) for tenant in page.items], meta=show_meta(page))


@post("/tenants", status_code=201, dto=JsonBody[TenantCreateIn], return_dto=None)
async def create_tenant(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[TenantCreateIn]],
) -> TenantDetailOut:
    """Make a tenant, without users. For superadmins."""
    actor.require_superadmin()
    new = settle_contacts(NewTenant(**msgspec.structs.asdict(accept(data))))
    async with services.system_transaction() as db:
        return show_detail(await service.create_tenant(db, actor, new, services.clock()))


@get("/tenants/by-slug/{slug:str}")
async def resolve_tenant(
    services: NamedDependency[Services], actor: NamedDependency[Actor], slug: FromPath[str]
) -> TenantOut:
    """Find a tenant by its slug, or by a domain that it has proven to be its own.

    Superadmins and services find any. Others find their own and, of those whose users can sign in, what
    is public: contact, limits and the end of a trial are left out.
    """
    async with services.system_transaction() as db:
        tenant = await service.resolve_tenant(db, slug)
    if tenant.id == actor.tenant_id or actor.is_superadmin or actor.kind is ActorKind.SERVICE:
        return show_tenant(tenant)
    if not tenant.is_live:
        raise TenantNotFound
    return show_to_strangers(tenant)


@get("/tenants/{tenant_id:str}")
async def get_tenant(
    services: NamedDependency[Services], of_tenant: NamedDependency[uuid.UUID]
) -> TenantDetailOut:
    """Get a tenant. For its users."""
    async with services.snapshot(of_tenant) as db:
        return show_detail(await service.fetch_tenant(db, of_tenant))


@patch("/tenants/{tenant_id:str}", dto=JsonBody[TenantUpdateIn], return_dto=None)
async def update_tenant(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[TenantUpdateIn]],
) -> TenantDetailOut:
    """Change a tenant's name, contacts, origins, and how long its visitors are known. For its admins."""
    actor.require_role(Role.ADMIN)
    changes = settle_contacts(TenantChanges(**msgspec.structs.asdict(accept(data))))
    async with services.transaction(of_tenant) as db:
        return show_detail(await service.change_tenant(db, actor, of_tenant, changes, services.clock()))


@get("/tenants/{tenant_id:str}/usage")
async def list_usage(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> UsageOut:
    """Tell what a tenant used on each day (UTC) of at most 366. For its managers."""
    actor.require_role(Role.MANAGER)
    query = accept(decode_parameters(request.query_params, UsageQueryIn))
    async with services.snapshot(of_tenant) as db:
        await service.fetch_tenant(db, of_tenant)
        days = await usage.list_days(db, of_tenant, query.from_, query.to, services.clock())
    return UsageOut(
        [
            TenantUsageDayOut(
                usage_date=day.day,
                renders_completed=day.redirects,
                api_calls=day.api_calls,
                active_users=day.active_users,
            )
            for day in days
        ]
    )
