"""Rows of claims to domains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.custom_domains.model import Claim, Reader

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))
_FIXED: Final = {"domain", "created_at"}


async def lock_tenant(db: Connection, tenant_id: uuid.UUID) -> bool:
    """Let nobody else make claims of a tenant until the transaction ends. Answers whether there is one."""
    return await _queries.lock_tenant(db, tenant_id=tenant_id) is not None


async def count_claims(db: Connection, tenant_id: uuid.UUID) -> int:
    """Count a tenant's claims, whatever their status."""
    count: int = await _queries.count_claims(db, tenant_id=tenant_id)
    return count


async def insert_claim(db: Connection, claim: Claim) -> None:
    """Add a claim."""
    await _queries.insert_claim(db, **msgspec.structs.asdict(claim))


async def find_claim(db: Connection, tenant_id: uuid.UUID, domain: str) -> Claim | None:
    """Find a tenant's claim to a domain, and lock it."""
    return _read(await _queries.find_claim(db, tenant_id=tenant_id, domain=domain))


async def lock_claim(db: Connection, tenant_id: uuid.UUID, claim_id: uuid.UUID) -> Claim | None:
    """Find a claim, and keep others from changing it until the transaction ends."""
    return _read(await _queries.lock_claim(db, tenant_id=tenant_id, id=claim_id))


async def list_claims(db: Connection, tenant_id: uuid.UUID) -> list[Claim]:
    """List a tenant's claims by name."""
    return [Claim(**row) async for row in _queries.list_claims(db, tenant_id=tenant_id)]


async def update_claim(db: Connection, claim: Claim) -> None:
    """Write a claim as it now is."""
    columns = msgspec.structs.asdict(claim)
    await _queries.update_claim(db, **{name: columns[name] for name in columns.keys() - _FIXED})


async def try_update_claim(db: Connection, claim: Claim) -> bool:
    """Write a claim that is to be verified. Answers False when another tenant's is already."""
    try:
        async with db.transaction():
            await update_claim(db, claim)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def delete_claim(db: Connection, tenant_id: uuid.UUID, claim_id: uuid.UUID) -> None:
    """Remove a claim."""
    await _queries.delete_claim(db, tenant_id=tenant_id, id=claim_id)


async def take_due(db: Connection, now: datetime, again_at: datetime, limit: int) -> list[Claim]:
    """Take claims of any tenant that are due; until `again_at` nobody else gets them."""
    rows = _queries.take_due(db, now=now, again_at=again_at, limit=limit)
    return [Claim(**row) async for row in rows]


async def enqueue_publication(db: Connection, domain: str) -> None:
    """Have whose a domain is put into Redis once the transaction commits."""
    await _queries.enqueue_publication(db, domain=domain)
    await _queries.wake_publisher(db)


async def list_readers(db: Connection, tenant_id: uuid.UUID) -> list[Reader]:
    """List whom a tenant's mail goes to: its contact first, then its admins."""
    return [Reader(**row) async for row in _queries.list_readers(db, tenant_id=tenant_id)]


def _read(row: Mapping[str, Any] | None) -> Claim | None:
    return None if row is None else Claim(**row)
