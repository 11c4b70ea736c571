"""Salts of days: the same for all, whoever draws them, and for no longer than they are needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from control_plane.pipeline.visitors import VisitorSalts, date_of
from tests.support import eventually

if TYPE_CHECKING:
    from control_plane.db.pool import Pool

WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def load(pool: Pool, salts: VisitorSalts, *days: int) -> dict[int, bytes]:
    async with pool.acquire() as db:
        return await salts.load(db, set(days))


async def test_all_flushers_have_the_same(db_pool: Pool) -> None:
    first = await load(db_pool, VisitorSalts(), 20_001, 20_002)
    assert first.keys() == {20_001, 20_002}
    assert len(set(first.values())) == 2
    assert await load(db_pool, VisitorSalts(), 20_001, 20_002) == first


async def test_lanes_that_load_different_days_at_once_keep_their_own(db_pool: Pool) -> None:
    salts = VisitorSalts()
    known = await load(db_pool, salts, 20_001)
    async with db_pool.acquire() as other:
        drawing = other.transaction()
        await drawing.start()
        await other.execute("INSERT INTO visitor_salts VALUES ($1, 'another flusher')", date_of(20_002))
        slow = asyncio.create_task(load(db_pool, salts, 20_001, 20_002))
        await eventually(lambda: db_pool.fetchval(WAITING))
        await load(db_pool, salts, 20_003)
        await drawing.commit()
    assert await slow == {**known, 20_002: b"another flusher"}


async def test_none_is_remembered_that_the_latest_events_do_not_need(db_pool: Pool) -> None:
    salts = VisitorSalts()
    before = await load(db_pool, salts, 20_001)
    await load(db_pool, salts, 20_002)
    await db_pool.execute("DELETE FROM visitor_salts")
    assert await load(db_pool, salts, 20_001) != before
