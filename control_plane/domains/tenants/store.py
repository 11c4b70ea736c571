"""Rows of tenants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.web_addresses import normalise_host
from control_plane.db.pool import load_queries
from control_plane.domains.tenants.model import Branding, Tenant
from control_plane.domains.tenants.slugs import is_slug

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.tenants.model import NewTenant

_queries = load_queries(Path(__file__).with_name("queries.sql"))

CHANGEABLE = (
    "name",
    "status",
    "plan_code",
    "contact_name",
    "contact_email",
    "contact_phone",
    "billing_email",
    "allowed_origins",
    "max_users",
    "max_campaigns",
    "event_retention_days",
)
"""Columns that update_tenant writes."""


async def insert_tenant(db: Connection, tenant_id: uuid.UUID, new: NewTenant, now: datetime) -> bool:
    """Add a tenant. Answers whether its slug was free."""
    columns = msgspec.structs.asdict(new)
    inserted = await _queries.insert_tenant(db, tenant_id=tenant_id, now=now, **columns)
    return inserted is not None


async def fetch_tenant(db: Connection, tenant_id: uuid.UUID) -> Tenant | None:
    """Find a tenant, whatever its status."""
    row = await _queries.fetch_tenant(db, tenant_id=tenant_id)
    return None if row is None else _read_tenant(row)


async def list_tenants(db: Connection, page: PageRequest) -> tuple[list[Tenant], int]:
    """List a page of all tenants, newest first, and count them all. `db`: of the system."""
    total: int = await _queries.count_tenants(db)
    rows = _queries.list_tenants(db, limit=page.per_page, offset=page.offset)
    return [_read_tenant(row) async for row in rows], total


async def find_id_by_slug(db: Connection, slug: str) -> uuid.UUID | None:
    """Find a live tenant, whose users can sign in. `db`: of the system."""
    if not is_slug(slug):
        return None
    found: uuid.UUID | None = await _queries.find_id_by_slug(db, slug=slug)
    return found


async def find_id_by_domain(db: Connection, domain: str) -> uuid.UUID | None:
    """Find the live tenant that has proven a domain. `db`: of the system."""
    found: uuid.UUID | None = await _queries.find_id_by_domain(db, domain=domain)
    return found


async def find_id(db: Connection, name: str) -> uuid.UUID | None:
    """Find a tenant of any status by its slug or a verified domain. `db`: of the system."""
    slug = name if is_slug(name) else None
    domain = normalise_host(name) if "." in name else None
    if slug is None and domain is None:
        return None
    found: uuid.UUID | None = await _queries.find_id(db, slug=slug, domain=domain)
    return found


async def find_id_by_number(db: Connection, number: int) -> uuid.UUID | None:
    """Find a tenant by the growth contract's id."""
    found: uuid.UUID | None = await _queries.find_id_by_number(db, number=number)
    return found


async def lock_tenant(db: Connection, tenant_id: uuid.UUID) -> bool:
    """Wait until nobody else changes the tenant or who its users are. Answers whether it is there."""
    return await _queries.lock_tenant(db, tenant_id=tenant_id) is not None


async def update_tenant(db: Connection, tenant: Tenant, now: datetime) -> None:
    """Write what of a tenant can change."""
    columns = {name: getattr(tenant, name) for name in CHANGEABLE}
    await _queries.update_tenant(db, tenant_id=tenant.id, now=now, **columns)


async def restart_retention(db: Connection, tenant_id: uuid.UUID) -> None:
    """Have all of the tenant's events looked at anew for who visitors were."""
    await _queries.restart_retention(db, tenant_id=tenant_id)


async def fetch_branding(db: Connection, tenant_id: uuid.UUID) -> Branding | None:
    """Read how a tenant shows itself; None when there is no such tenant."""
    stored = await _queries.fetch_branding(db, tenant_id=tenant_id)
    return None if stored is None else msgspec.convert(stored, Branding)


async def update_branding(db: Connection, tenant_id: uuid.UUID, branding: Branding, now: datetime) -> None:
    """Write how a tenant shows itself."""
    document = msgspec.to_builtins(branding)
    await _queries.update_branding(db, tenant_id=tenant_id, branding=document, now=now)


async def list_plan_codes(db: Connection) -> list[str]:
    """List the plans that there are."""
    return [row["code"] async for row in _queries.list_plan_codes(db)]


async def count_seats(db: Connection, tenant_id: uuid.UUID) -> tuple[int | None, int]:
    """Count a tenant's users: (how many it may have, how many it has)."""
    row = await _queries.count_seats(db, tenant_id=tenant_id)
    return (None, 0) if row is None else (row["max_users"], row["taken"])


def _read_tenant(row: Mapping[str, Any]) -> Tenant:
    return Tenant(**(dict(row) | {"allowed_origins": tuple(row["allowed_origins"])}))
