"""Rows put straight into Postgres, for tests of what reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec

from control_plane.core.ids import new_id

if TYPE_CHECKING:
    from control_plane.db.pool import Connection

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


class VariantRow(msgspec.Struct, frozen=True):
    label: str
    destination_url: str
    weight: int
    is_winner: bool = False
    id: UUID = msgspec.field(default_factory=new_id)


class LinkRow(msgspec.Struct, frozen=True):
    """A link with two halves; `msgspec.structs.replace` makes the others."""

    tenant_id: UUID
    user_id: UUID
    slug: str
    id: UUID = msgspec.field(default_factory=new_id)
    version: int = 1
    is_active: bool = True
    routing_type: str = "ab_test"
    geo_rules: dict[str, str] | None = None
    stickiness: str = "cookie"
    forward_query: bool = True
    deleted_at: datetime | None = None
    domain: str = ""
    variants: tuple[VariantRow, ...] = (
        VariantRow("a", "https://a.example/", 50),
        VariantRow("b", "https://b.example/", 50),
    )


async def insert_user(db: Connection) -> tuple[UUID, UUID]:
    """Insert a tenant and its user; give both ids."""
    tenant_id, user_id = new_id(), new_id()
    await db.execute("INSERT INTO tenants VALUES ($1, 'Acme', 'growth', $2)", tenant_id, LONG_AGO)
    await db.execute(
        "INSERT INTO users VALUES ($1, $2, $3, $4)",
        tenant_id,
        user_id,
        f"{uuid4().hex}@acme.example",
        LONG_AGO,
    )
    return tenant_id, user_id


async def insert_link(db: Connection, link: LinkRow) -> None:
    """Insert a link as its service would, with its row in the outbox."""
    async with db.transaction():
        await db.execute(
            "INSERT INTO links VALUES"
            " ($1, $2, $3, $4, 'Name', $5, false, 95, $6, $7, $8, $9, $10, $11, $11, $12, $13)",
            link.tenant_id,
            link.id,
            link.user_id,
            link.slug,
            link.is_active,
            link.routing_type,
            link.geo_rules,
            link.stickiness,
            link.forward_query,
            link.version,
            LONG_AGO,
            link.deleted_at,
            link.domain,
        )
        await _insert_variants(db, link)
        await _enqueue(db, link)


async def set_domain(db: Connection, tenant_id: UUID, domain: str, status: str = "verified") -> None:
    """Bring a tenant's claim to a domain to this status, with its row in the outbox."""
    async with db.transaction():
        await db.execute(
            "INSERT INTO custom_domains"
            " (tenant_id, id, domain, method, challenge, status, created_at, expires_at, verified_at)"
            " VALUES ($1, $2, $3, 'DNS_TXT', 'token', $4, $5, $5, $5)"
            " ON CONFLICT (tenant_id, domain) DO UPDATE SET status = EXCLUDED.status",
            tenant_id,
            new_id(),
            domain,
            status,
            LONG_AGO,
        )
        await _enqueue_domain(db, domain)


async def remove_domain(db: Connection, tenant_id: UUID, domain: str) -> None:
    """Remove a tenant's claim to a domain, with its row in the outbox."""
    async with db.transaction():
        await db.execute("DELETE FROM custom_domains WHERE tenant_id = $1 AND domain = $2", tenant_id, domain)
        await _enqueue_domain(db, domain)


async def update_link(db: Connection, link: LinkRow) -> None:
    """Bring a link's row to `link`: the variants that it no longer has become tombstones."""
    async with db.transaction():
        await db.execute(
            "UPDATE links SET is_active = $3, routing_type = $4, geo_rules = $5, stickiness = $6,"
            " forward_query = $7, version = $8, deleted_at = $9 WHERE tenant_id = $1 AND id = $2",
            link.tenant_id,
            link.id,
            link.is_active,
            link.routing_type,
            link.geo_rules,
            link.stickiness,
            link.forward_query,
            link.version,
            link.deleted_at,
        )
        await db.execute(
            "UPDATE variants SET removed_at = $3 WHERE tenant_id = $1 AND link_id = $2 AND id <> ALL($4)",
            link.tenant_id,
            link.id,
            LONG_AGO,
            [variant.id for variant in link.variants],
        )
        await _insert_variants(db, link)
        await _enqueue(db, link)


async def insert_many_links(db: Connection, count: int) -> None:
    """Insert `count` links of one tenant, slugs bulk-1 and on, without rows in the outbox."""
    tenant_id, user_id = await insert_user(db)
    async with db.transaction():
        await db.execute(
            "INSERT INTO links SELECT $1, gen_random_uuid(), $2, 'bulk-' || n, 'Name', true, false, 95,"
            " 'ab_test', NULL, 'cookie', true, 1, $3, $3 FROM generate_series(1, $4::integer) AS n",
            tenant_id,
            user_id,
            LONG_AGO,
            count,
        )
        await db.execute(
            "INSERT INTO variants SELECT tenant_id, links.id, gen_random_uuid(), n, 'v' || n,"
            " 'https://shop.example/landing/' || n || '?click={click_id}', 50, false, $2"
            " FROM links CROSS JOIN generate_series(0, 1) AS n WHERE tenant_id = $1",
            tenant_id,
            LONG_AGO,
        )
    await db.execute("ANALYZE links, variants")


async def _insert_variants(db: Connection, link: LinkRow) -> None:
    await db.executemany(
        "INSERT INTO variants VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (tenant_id, link_id, id) DO UPDATE SET position = EXCLUDED.position,"
        " label = EXCLUDED.label, destination_url = EXCLUDED.destination_url, weight = EXCLUDED.weight,"
        " is_winner = EXCLUDED.is_winner",
        [
            (
                link.tenant_id,
                link.id,
                variant.id,
                position,
                variant.label,
                variant.destination_url,
                variant.weight,
                variant.is_winner,
                LONG_AGO,
            )
            for position, variant in enumerate(link.variants)
        ],
    )


async def _enqueue(db: Connection, link: LinkRow) -> None:
    await db.execute("INSERT INTO link_outbox (tenant_id, link_id) VALUES ($1, $2)", link.tenant_id, link.id)
    await db.execute("SELECT pg_notify('link_outbox', '')")


async def _enqueue_domain(db: Connection, domain: str) -> None:
    await db.execute("INSERT INTO domain_outbox (domain) VALUES ($1)", domain)
    await db.execute("SELECT pg_notify('link_outbox', '')")
