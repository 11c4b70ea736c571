"""Tenants: make, find, change, and how they show themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.page import Page
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.audit import service as audit
from control_plane.domains.tenants import store
from control_plane.domains.tenants.branding import settle_branding
from control_plane.domains.tenants.errors import (
    OwnTenantNeeded,
    SeatsTaken,
    TenantNotFound,
    TenantSlugTaken,
)
from control_plane.domains.tenants.model import NewTenant
from control_plane.domains.tenants.slugs import add_suffix, derive_slug, find_broken_rule

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.tenants.model import Branding, Tenant, TenantChanges

DRAWS: Final = 5
"""Slugs that are tried: the name's own, then with suffixes of which there are 16 million."""


async def create_tenant(db: Connection, actor: Actor, new: NewTenant, now: datetime) -> Tenant:
    """Make a tenant. `db`: of the system. Raises Invalid, TenantSlugTaken."""
    rule = find_broken_rule(new.slug)
    faults = [] if rule is None else [Fault("slug", rule, new.slug)]
    faults += await _find_plan_faults(db, new.plan_code)
    if faults:
        raise Invalid(faults)
    tenant_id = new_id()
    if not await store.insert_tenant(db, tenant_id, new, now):
        raise TenantSlugTaken(new.slug)
    tenant = await fetch_tenant(db, tenant_id)
    await audit.record(
        db, actor, tenant_id, "tenant.create", ("tenant", tenant_id), now=now, after=_describe(tenant)
    )
    return tenant


async def create_named_tenant(db: Connection, name: str, plan_code: str, now: datetime) -> uuid.UUID:
    """Make a tenant whose slug follows from its name, with a suffix where that is taken."""
    tenant_id, slug = new_id(), derive_slug(name)
    for _ in range(DRAWS):
        new = NewTenant(slug=slug, name=name, plan_code=plan_code)
        if await store.insert_tenant(db, tenant_id, new, now):
            return tenant_id
        slug = add_suffix(derive_slug(name))
    raise TenantSlugTaken(slug)


async def fetch_tenant(db: Connection, tenant_id: uuid.UUID) -> Tenant:
    """Find a tenant, whatever its status. Raises TenantNotFound."""
    tenant = await store.fetch_tenant(db, tenant_id)
    if tenant is None:
        raise TenantNotFound
    return tenant


async def resolve_tenant(db: Connection, name: str) -> Tenant:
    """Find a tenant by its slug or by a domain that it has proven. `db`: of the system.

    Raises TenantNotFound.
    """
    tenant_id = await store.find_id(db, name)
    if tenant_id is None:
        raise TenantNotFound
    return await fetch_tenant(db, tenant_id)


async def resolve_number(db: Connection, number: int) -> uuid.UUID:
    """Find a tenant by the growth contract's id, among those that `db` sees. Raises TenantNotFound."""
    tenant_id = await store.find_id_by_number(db, number)
    if tenant_id is None:
        raise TenantNotFound
    return tenant_id


async def list_tenants(db: Connection, page: PageRequest) -> Page[Tenant]:
    """List a page of all tenants, newest first. `db`: of the system."""
    tenants, total = await store.list_tenants(db, page)
    return Page(tenants, total, page.page, page.per_page)


async def change_tenant(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, changes: TenantChanges, now: datetime
) -> Tenant:
    """Change a tenant. Raises TenantNotFound, Invalid, OwnTenantNeeded."""
    if not await store.lock_tenant(db, tenant_id):
        raise TenantNotFound
    before = await fetch_tenant(db, tenant_id)
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    after = msgspec.structs.replace(before, **given)
    if after.plan_code != before.plan_code and (faults := await _find_plan_faults(db, after.plan_code)):
        raise Invalid(faults)
    if not after.is_live and tenant_id == actor.tenant_id:
        raise OwnTenantNeeded
    if after == before:
        return before
    after = msgspec.structs.replace(after, updated_at=now)
    await store.update_tenant(db, after, now)
    if after.event_retention_days != before.event_retention_days:
        # What landed late meanwhile, and was let be, may lie behind the mark.
        await store.restart_retention(db, tenant_id)
    if after.is_live != before.is_live:
        await api_keys.republish_keys(db, tenant_id)
    await audit.record(
        db,
        actor,
        tenant_id,
        "tenant.update",
        ("tenant", tenant_id),
        now=now,
        before=_describe(before),
        after=_describe(after),
    )
    return after


async def fetch_branding(db: Connection, tenant_id: uuid.UUID) -> Branding:
    """Read how a tenant shows itself. Raises TenantNotFound."""
    branding = await store.fetch_branding(db, tenant_id)
    if branding is None:
        raise TenantNotFound
    return branding


async def replace_branding(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, branding: Branding, now: datetime
) -> Branding:
    """Replace all of a tenant's branding, and give it as it is stored. Raises Invalid, TenantNotFound."""
    after = settle_branding(branding)
    if not await store.lock_tenant(db, tenant_id):
        raise TenantNotFound
    before = await fetch_branding(db, tenant_id)
    if after != before:
        await store.update_branding(db, tenant_id, after, now)
        await audit.record(
            db,
            actor,
            tenant_id,
            "tenant.brand",
            ("tenant", tenant_id),
            now=now,
            before=msgspec.structs.asdict(before),
            after=msgspec.structs.asdict(after),
        )
    return after


async def claim_seat(db: Connection, tenant_id: uuid.UUID) -> None:
    """Make sure that the tenant may have one more user, for as long as the transaction lasts.

    Raises TenantNotFound, SeatsTaken.
    """
    if not await store.lock_tenant(db, tenant_id):
        raise TenantNotFound
    max_users, taken = await store.count_seats(db, tenant_id)
    if max_users is not None and taken >= max_users:
        raise SeatsTaken(max_users)


async def _find_plan_faults(db: Connection, plan_code: str) -> list[Fault]:
    codes = await store.list_plan_codes(db)
    if plan_code in codes:
        return []
    return [Fault("plan", f"must be one of {', '.join(map(repr, codes))}", plan_code)]


def _describe(tenant: Tenant) -> dict[str, object]:
    """Give what the audit keeps of a tenant."""
    return {"slug": tenant.slug, "kind": tenant.kind} | {
        name: getattr(tenant, name) for name in store.CHANGEABLE
    }
