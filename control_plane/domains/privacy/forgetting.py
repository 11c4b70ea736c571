"""Carry out erasures, and forget in time who visitors were.

All of it in short transactions over rows in the order of their keys, beside everything else that goes on; it
may be broken off at any point, run twice at once, or late. Rows that were forgotten in are passed over.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from control_plane.core.ids import id_floor, read_uuid
from control_plane.db.pool import load_queries
from control_plane.domains.conversions.store import lock_projects
from control_plane.domains.idempotency import service as idempotency
from control_plane.domains.privacy import store
from control_plane.domains.privacy.model import (
    KEPT_WITH_CONVERSIONS_DAYS,
    VISITOR_BITS,
    ErasureKind,
    Forgotten,
    NotedSubject,
    Rows,
    visitor_key,
)
from control_plane.domains.privacy.traces import Traces, find_traces, find_visitors_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.privacy.model import DueErasure, Retention

PAGE_SIZE: Final = 5_000
"""Rows that retention looks at in one transaction."""
OLDER_END_WITHIN_S: Final = 10.0
"""How long a landing that began before is waited for; if it takes longer, the next run looks again."""
LOOKED_AT_AGAIN: Final = timedelta(hours=1)
"""Before the mark: a flusher may have had rows in a transaction whose time was over meanwhile."""
_ID_BYTES: Final = 16
_queries = load_queries(Path(__file__).with_name("queries.sql"))
_PAGES: Final = {
    "clicks": _queries.page_clicks,
    "visits": _queries.page_visits,
    "conversions": _queries.page_conversions,
}


async def erase(pool: Pool, erasure: DueErasure, now: datetime) -> bool:
    """Forget in all rows there are that an erasure is about. Give whether any of them were not known yet."""
    async with pool.acquire() as db:
        traces = await _trace(db, erasure)
        # Noted before they are forgotten: what lands from now on is known to belong to them.
        async with db.transaction():
            new = await store.note_subjects(db, erasure.tenant_id, erasure.id, _subjects_of(traces), now)
        forgotten = await forget_rows(db, erasure.tenant_id, traces.rows)
        if forgotten != Forgotten():
            async with db.transaction():
                await store.add_counts(db, erasure, forgotten)
    return new > 0


async def finish(pool: Pool, erasure: DueErasure, now: datetime) -> None:
    """Note that an erasure is done, but for what lands later and is recognised then."""
    keeps_subject = read_uuid(erasure.subject) is not None and erasure.kind is not ErasureKind.VISITOR
    async with pool.acquire() as db, db.transaction():
        await idempotency.forget_answers(db, erasure.tenant_id)  # they name clicks and visits
        await store.finish(db, erasure, keeps_subject=keeps_subject, now=now)


async def read_horizon(pool: Pool) -> int:
    """Give a number above those of all transactions that have begun to write."""
    async with pool.acquire() as db:
        return await store.read_horizon(db)


async def older_have_ended(pool: Pool, horizon: int) -> bool:
    """Wait until all transactions below `horizon` have ended; give whether they have."""
    deadline = asyncio.get_running_loop().time() + OLDER_END_WITHIN_S
    while True:
        async with pool.acquire() as db:
            if await store.read_oldest(db) >= horizon:
                return True
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(0.05)


async def apply_retention(pool: Pool, retention: Retention, now: datetime, *, is_settled: bool) -> Forgotten:
    """Forget who a tenant's visitors were whose time is over; give in how many rows.

    `is_settled`: whether all landings have ended that did not know of this retention yet. Else they may
    land rows behind us, and everything is looked at again the next time.
    """
    counts = {}
    for table in _PAGES:
        days = max(retention.days, KEPT_WITH_CONVERSIONS_DAYS if table == "conversions" else 0)
        until = id_floor(now - timedelta(days=days))
        counts[table] = await _forget_until(pool, retention, table, until, is_settled=is_settled)
    return Forgotten(**counts)


async def _trace(db: Connection, erasure: DueErasure) -> Traces:
    noted = await store.list_subjects(db, erasure)
    words = [erasure.subject] if erasure.subject is not None else []
    traces = await find_traces(
        db,
        erasure.tenant_id,
        [uuid.UUID(bytes=one.key) for one in noted if len(one.key) == _ID_BYTES],
        click_words=words if erasure.kind is ErasureKind.CLICK else (),
        visit_words=words if erasure.kind is ErasureKind.VISIT else (),
    )
    visitors = _noted_visitors(noted) | (traces.visitors if erasure.whole_visitor else set())
    if visitors:
        others = await find_visitors_rows(db, erasure.tenant_id, visitors)
        more = await find_traces(db, erasure.tenant_id, others)
        traces.rows.add(more.rows)
        traces.ids |= more.ids
    traces.visitors = visitors
    return traces


def _noted_visitors(noted: Iterable[NotedSubject]) -> set[tuple[int, date]]:
    return {
        (int.from_bytes(one.key, "big", signed=True), one.day)
        for one in noted
        if one.day is not None and len(one.key) == VISITOR_BITS // 8
    }


def _subjects_of(traces: Traces) -> list[NotedSubject]:
    subjects = [NotedSubject(key=named.bytes) for named in sorted(traces.ids)]
    return subjects + [NotedSubject(key=visitor_key(number), day=day) for number, day in traces.visitors]


async def forget_rows(db: Connection, tenant_id: uuid.UUID, rows: Rows) -> Forgotten:
    """Forget who was behind these rows, in transactions of AT_ONCE of them."""
    clicks = visits = conversions = 0
    for ids in store.slices(rows.clicks):
        async with db.transaction():
            clicks += await store.forget_clicks(db, tenant_id, ids)
    for ids in store.slices(rows.visits):
        async with db.transaction():
            visits += await store.forget_visits(db, tenant_id, ids)
    for ids in store.slices(rows.conversions):
        async with db.transaction():
            await lock_projects(db, {(tenant_id, rows.conversions[one]) for one in ids})
            conversions += await store.forget_conversions(db, tenant_id, ids)
    return Forgotten(clicks, visits, conversions)


async def _forget_until(
    pool: Pool, retention: Retention, table: str, until: uuid.UUID, *, is_settled: bool
) -> int:
    """Forget in all rows of a table below `until`, from the mark on. Give in how many."""
    tenant_id, forgotten = retention.tenant_id, 0
    async with pool.acquire() as db:
        low = _step_back(await _queries.find_mark(db, tenant_id=tenant_id, event_table=table))
        while True:
            bounds = {"low": low, "high": until, "limit": PAGE_SIZE}
            page: list[Any] = [row async for row in _PAGES[table](db, tenant_id=tenant_id, **bounds)]
            found = Rows()
            somebodys = [row for row in page if row["is_somebodys"]]
            if table == "conversions":
                found.conversions = {row["id"]: row["project_id"] for row in somebodys}
            else:
                setattr(found, table, {row["id"] for row in somebodys})
            counts = await forget_rows(db, tenant_id, found)
            forgotten += int(getattr(counts, table))
            is_last = len(page) < PAGE_SIZE
            low = until if is_last else uuid.UUID(int=page[-1]["id"].int + 1)
            if is_settled and (is_last or somebodys):
                await _queries.raise_mark(
                    db,
                    tenant_id=tenant_id,
                    event_table=table,
                    forgotten_until=low,
                    as_of=retention.as_of,
                )
            if is_last:
                return forgotten


def _step_back(mark: uuid.UUID | None) -> uuid.UUID:
    """Give where to begin, for a mark: somewhat before it."""
    back = (LOOKED_AT_AGAIN // timedelta(milliseconds=1)) << 80
    return uuid.UUID(int=max(0, (mark.int if mark else 0) - back))
