"""Rows of visits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.ids import id_floor
from control_plane.db.pool import load_queries
from control_plane.domains.visits.model import Visit

if TYPE_CHECKING:
    import uuid

    from control_plane.core.page import StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.visits.model import VisitFilter

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def count_visits(db: Connection, tenant_id: uuid.UUID, wanted: VisitFilter) -> int:
    """Count visits one by one, by their index where the filters allow that."""
    low, high = id_floor(wanted.span.start), id_floor(wanted.span.until)
    total: int = await _queries.count_visits(
        db, tenant_id=tenant_id, low=low, high=high, **_parameters(wanted)
    )
    return total


async def find_visits(
    db: Connection, tenant_id: uuid.UUID, wanted: VisitFilter, request: StretchRequest
) -> list[uuid.UUID]:
    """Find the ids of a stretch of visits, as core/page.py wants them."""
    low, high = request.narrow(id_floor(wanted.span.start), id_floor(wanted.span.until))
    common = {"tenant_id": tenant_id, "low": low, "high": high, "limit": request.limit, **_parameters(wanted)}
    if request.newer_than is not None:
        rows = _queries.find_newer_visits(db, **common)
    else:
        rows = _queries.find_older_visits(db, **common, offset=request.offset)
    return [row["id"] async for row in rows]


async def fetch_visits(db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID]) -> dict[uuid.UUID, Visit]:
    """Read visits by their ids."""
    rows = _queries.fetch_visits(db, tenant_id=tenant_id, ids=ids)
    return {row["id"]: Visit(**row) async for row in rows}


def _parameters(wanted: VisitFilter) -> dict[str, Any]:
    parameters = msgspec.structs.asdict(wanted)
    del parameters["span"]
    return parameters
