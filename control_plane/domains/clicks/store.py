"""Rows of clicks, and their sums per quarter of an hour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.core.ids import id_floor
from control_plane.db.pool import load_queries
from control_plane.domains.clicks.model import Click

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.clicks.model import Span

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def count_all(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> int:
    """Count a link's clicks of all time, from its totals."""
    total: int = await _queries.count_all(db, tenant_id=tenant_id, link_id=link_id)
    return total


async def count_slots(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, slots: Span) -> int:
    """Count a link's clicks in whole slots, from the sums of each."""
    total: int = await _queries.count_slots(
        db, tenant_id=tenant_id, link_id=link_id, start=slots.start, until=slots.until
    )
    return total


async def count_rows(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, span: Span) -> int:
    """Count a link's clicks one by one: for stretches shorter than a slot or two."""
    total: int = await _queries.count_rows(
        db, tenant_id=tenant_id, link_id=link_id, low=id_floor(span.start), high=id_floor(span.until)
    )
    return total


async def find_slot(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, slots: Span, skip: int
) -> tuple[datetime, int]:
    """Find the slot of the click that `skip` newer ones precede: (slot, clicks in newer slots).

    `skip`: less than the number of clicks in `slots`.
    """
    row = await _queries.find_slot(
        db, tenant_id=tenant_id, link_id=link_id, start=slots.start, until=slots.until, skip=skip
    )
    return row["slot"], row["newer"]


async def list_clicks(  # noqa: PLR0913  whose, which, and which part of them
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, span: Span, *, limit: int, offset: int
) -> list[Click]:
    """List a link's clicks, newest first. Cost grows with `offset`: begin near what is wanted."""
    rows = _queries.list_clicks(
        db,
        tenant_id=tenant_id,
        link_id=link_id,
        low=id_floor(span.start),
        high=id_floor(span.until),
        limit=limit,
        offset=offset,
    )
    return [Click(**row) async for row in rows]
