"""Rows of erasures, of what they are about, and of what they change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.ids import new_id
from control_plane.core.page import HIGHEST, LOWEST, cut_keys
from control_plane.db.pool import load_queries
from control_plane.domains.privacy.model import (
    KEPT_WITH_CONVERSIONS_DAYS,
    DueErasure,
    Erasure,
    ErasureKind,
    Forgotten,
    NotedSubject,
    Retention,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.privacy.model import ErasureRequest

    ErasureKey = tuple[uuid.UUID, uuid.UUID]
    """(tenant, erasure)"""

LOOK_AGAIN_EVERY: Final = timedelta(days=1)
AT_ONCE: Final = 1_000
"""Rows that one statement looks for or changes by their names."""
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_erasure(
    db: Connection,
    tenant_id: uuid.UUID,
    request: ErasureRequest,
    requested_by: uuid.UUID | None,
    now: datetime,
) -> uuid.UUID | None:
    """Add an erasure that is due; give its id, None when the same was asked for before."""
    found: uuid.UUID | None = await _queries.insert_erasure(
        db,
        tenant_id=tenant_id,
        id=new_id(),
        digest=request.digest,
        requested_by=requested_by,
        now=now,
        **msgspec.structs.asdict(request),
    )
    return found


async def find_erasure_id(db: Connection, tenant_id: uuid.UUID, request: ErasureRequest) -> uuid.UUID | None:
    """Find the erasure of the same request."""
    found: uuid.UUID | None = await _queries.find_erasure_id(db, tenant_id=tenant_id, digest=request.digest)
    return found


async def list_erasures(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> Stretch[Erasure]:
    """List a tenant's erasures, newest first. `db`: with one snapshot."""
    total: int = await _queries.count_erasures(db, tenant_id=tenant_id)
    low, high = request.narrow(LOWEST, HIGHEST)
    if request.newer_than is not None:
        rows = _queries.find_newer_erasures(db, tenant_id=tenant_id, low=low, high=high, limit=request.limit)
    else:
        rows = _queries.find_older_erasures(
            db, tenant_id=tenant_id, low=low, high=high, limit=request.limit, offset=request.offset
        )
    stretch = cut_keys([row["id"] async for row in rows], request, total)
    return stretch.fill(await fetch_erasures(db, tenant_id, stretch.items))


async def fetch_erasures(
    db: Connection, tenant_id: uuid.UUID, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Erasure]:
    """Find erasures by their ids."""
    rows = _queries.fetch_erasures(db, tenant_id=tenant_id, ids=list(ids))
    return {row["id"]: Erasure(**row | {"kind": ErasureKind(row["kind"])}) async for row in _dicts(rows)}


async def list_due(db: Connection, now: datetime, limit: int) -> list[DueErasure]:
    """List erasures that are to be looked at, of all tenants, the longest due first."""
    rows = _queries.list_due(db, now=now, limit=limit)
    return [DueErasure(**row | {"kind": ErasureKind(row["kind"])}) async for row in _dicts(rows)]


async def make_due(db: Connection, keys: Iterable[ErasureKey]) -> None:
    """Have erasures looked at again."""
    tenant_ids, ids = zip(*keys, strict=True)
    await _queries.make_due(db, tenant_ids=list(tenant_ids), ids=list(ids))


async def add_counts(db: Connection, erasure: DueErasure, forgotten: Forgotten) -> None:
    """Count the rows that somebody was forgotten in."""
    counts = msgspec.structs.asdict(forgotten)
    await _queries.add_counts(db, tenant_id=erasure.tenant_id, id=erasure.id, **counts)


async def finish(db: Connection, erasure: DueErasure, *, keeps_subject: bool, now: datetime) -> None:
    """Note that an erasure is done, unless it has become due again.

    Conversions are joined for 30 days, by whoever lands or reports the last part: so for as long it is looked
    every day whether anything was joined to what it is about.
    """
    await _queries.finish(
        db,
        tenant_id=erasure.tenant_id,
        id=erasure.id,
        due_at=erasure.due_at,
        keeps_subject=keeps_subject,
        now=now,
        again_at=now + LOOK_AGAIN_EVERY,
        again_since=now - timedelta(days=KEPT_WITH_CONVERSIONS_DAYS),
    )


async def note_subjects(
    db: Connection,
    tenant_id: uuid.UUID,
    erasure_id: uuid.UUID,
    subjects: Iterable[NotedSubject],
    now: datetime,
) -> int:
    """Note what an erasure is about; give how much of it is new.

    Nobody else can note anything until the transaction ends, so it comes last in it.
    """
    listed = list(subjects)
    await _queries.lock_subjects(db)
    rows = _queries.note_subjects(
        db,
        tenant_id=tenant_id,
        erasure_id=erasure_id,
        keys=[subject.key for subject in listed],
        are_asked=[subject.is_asked for subject in listed],
        days=[subject.day for subject in listed],
        now=now,
    )
    return len([row async for row in rows])


async def list_subjects(db: Connection, erasure: DueErasure) -> list[NotedSubject]:
    """List what an erasure is about, as far as that is known."""
    rows = _queries.list_subjects(db, tenant_id=erasure.tenant_id, erasure_id=erasure.id)
    return [NotedSubject(**row) async for row in rows]


async def list_attributed(
    db: Connection, tenant_ids: list[uuid.UUID], ids: list[uuid.UUID]
) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID, uuid.UUID | None]]:
    """Give (tenant, id, project, attributed click) of these conversions, and of what changes them."""
    return [tuple(row) async for row in _queries.list_attributed(db, tenant_ids=tenant_ids, ids=ids)]


async def list_new_subjects(db: Connection, after: int) -> list[Any]:
    """List what was noted behind this number, of all tenants' erasures, in order of number."""
    return [row async for row in _queries.list_new_subjects(db, after=after)]


async def trim_subjects(db: Connection, noted_before: datetime) -> None:
    """Delete what was noted before a moment."""
    await _queries.trim_subjects(db, noted_before=noted_before)


async def read_horizon(db: Connection) -> int:
    """Give a number above those of all transactions that have begun to write."""
    horizon: int = await _queries.read_horizon(db)
    return horizon


async def read_oldest(db: Connection) -> int:
    """Give a number below which all transactions have ended."""
    oldest: int = await _queries.read_oldest(db)
    return oldest


async def forget_clicks(
    db: Connection, tenant_id: uuid.UUID, ids: Iterable[uuid.UUID], *, landed_since: datetime = LONG_AGO
) -> int:
    """Forget who made clicks; give in how many that was still to be seen. At most AT_ONCE of them."""
    return await _forget_placed(db, _queries.forget_clicks, tenant_id, ids, landed_since)


async def forget_visits(
    db: Connection, tenant_id: uuid.UUID, ids: Iterable[uuid.UUID], *, landed_since: datetime = LONG_AGO
) -> int:
    """Forget who paid visits, in the same way."""
    return await _forget_placed(db, _queries.forget_visits, tenant_id, ids, landed_since)


async def forget_conversions(db: Connection, tenant_id: uuid.UUID, ids: Iterable[uuid.UUID]) -> int:
    """Forget the words of conversions, in the same way. Their projects are locked."""
    rows = _queries.forget_conversions(db, tenant_id=tenant_id, ids=sorted(ids))
    return len([row async for row in rows])


async def list_retentions(db: Connection) -> list[Retention]:
    """List the tenants whose events are forgotten in time."""
    return [Retention(**row) async for row in _queries.list_retentions(db)]


async def find_retentions(db: Connection, tenant_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Give the days of those of these tenants whose events are forgotten in time."""
    rows = _queries.find_retentions(db, tenant_ids=list(tenant_ids))
    return {row["tenant_id"]: row["days"] async for row in rows}


def slices(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    """Cut ids into lists of AT_ONCE, in their order."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


async def _forget_placed(
    db: Connection, forget: Any, tenant_id: uuid.UUID, ids: Iterable[uuid.UUID], landed_since: datetime
) -> int:
    ordered = sorted(ids)
    if not ordered:
        return 0
    rows = forget(
        db,
        tenant_id=tenant_id,
        ids=ordered,
        low=ordered[0],
        high=ordered[-1],
        landed_since=landed_since,
    )
    return len([row async for row in rows])


async def _dicts(rows: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    async for row in rows:
        yield dict(row)
