"""Rows of what tenants use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.db.pool import load_queries
from control_plane.domains.usage.model import UsageDay

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.usage.model import UsageBatch

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def claim_batch(db: Connection, writer: uuid.UUID, sequence: int, now: datetime) -> bool:
    """Note that a batch is written. Answers whether it was not before."""
    return await _queries.claim_batch(db, writer=writer, sequence=sequence, now=now) is not None


async def forget_writers(db: Connection, before: datetime) -> None:
    """Remove the notes of writers that were last heard of before a moment."""
    await _queries.forget_writers(db, before=before)


async def add_batch(db: Connection, batch: UsageBatch) -> None:
    """Add counts to their days and keys, and note when users were last there."""
    await _queries.add_calls(
        db,
        tenant_ids=[tenant_id for tenant_id, _day in batch.calls],
        days=[day for _tenant_id, day in batch.calls],
        calls=list(batch.calls.values()),
    )
    tenant_ids = [tenant_id for tenant_id, _user_id, _day in batch.active]
    user_ids = [user_id for _tenant_id, user_id, _day in batch.active]
    days = [day for _tenant_id, _user_id, day in batch.active]
    await _queries.add_active_users(db, tenant_ids=tenant_ids, user_ids=user_ids, days=days)
    await _queries.touch_users(
        db, tenant_ids=tenant_ids, user_ids=user_ids, moments=list(batch.active.values())
    )
    await _queries.add_key_uses(
        db,
        tenant_ids=[tenant_id for tenant_id, _key_id in batch.key_uses],
        key_ids=[key_id for _tenant_id, key_id in batch.key_uses],
        uses=[uses for uses, _moment in batch.key_uses.values()],
        moments=[moment for _uses, moment in batch.key_uses.values()],
    )


async def list_days(db: Connection, tenant_id: uuid.UUID, first: date, last: date) -> list[UsageDay]:
    """List every day of a span with what was used on it."""
    rows = _queries.list_days(db, tenant_id=tenant_id, first=first, last=last)
    return [UsageDay(**row) async for row in rows]


async def list_allowances(
    db: Connection, tenant_ids: Iterable[uuid.UUID], day_start: datetime
) -> dict[uuid.UUID, Mapping[str, Any]]:
    """Give for each tenant what limits its redirects, and how many it had since `day_start`."""
    rows = _queries.list_allowances(db, tenant_ids=list(tenant_ids), day_start=day_start)
    return {row["id"]: row async for row in rows}
