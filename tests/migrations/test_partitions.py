"""The SQL functions behind the partitions; what the jobs make of them is in tests/jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from control_plane.core.ids import id_floor
from tests.support import eventually

if TYPE_CHECKING:
    from control_plane.db.pool import Connection, Pool

MARCH = datetime(2031, 3, 1, tzinfo=UTC)
INSERT = (
    "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch,"
    " is_bot, is_conversion, verdict_version, landed_at)"
    " VALUES ($1, $2, $1, $1, 1, 4, false, false, false, 1, now())"
)


async def ensure(db: Connection | Pool, moment: datetime) -> bool:
    made: bool = await db.fetchval("SELECT ensure_month_partition('clicks', $1)", moment)
    return made


class TestUuidFloor:
    @pytest.mark.parametrize(
        "moment",
        [
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2031, 3, 31, 23, 59, 59, 999_000, tzinfo=UTC),
            datetime(2500, 1, 1, tzinfo=UTC),
        ],
    )
    async def test_agrees_with_python(self, pool: Pool, moment: datetime) -> None:
        assert await pool.fetchval("SELECT uuid_floor($1)", moment) == id_floor(moment)


class TestEnsureMonthPartition:
    async def test_says_whether_it_made_one(self, pool: Pool) -> None:
        assert await ensure(pool, MARCH)
        assert not await ensure(pool, MARCH)

    async def test_the_month_is_of_utc_whatever_the_session_says(self, pool: Pool) -> None:
        async with pool.acquire() as db:
            await db.execute("SET TIME ZONE 'Pacific/Kiritimati'")
            await ensure(db, datetime(2031, 3, 31, 23, 59, tzinfo=UTC))
            await ensure(db, datetime(2031, 4, 1, tzinfo=UTC))
            bounds = await db.fetchval(
                "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'clicks_203103'"
            )
        start, end = id_floor(MARCH), id_floor(datetime(2031, 4, 1, tzinfo=UTC))
        assert bounds == f"FOR VALUES FROM ('{start}') TO ('{end}')"

    async def test_has_the_indexes_of_the_table(self, pool: Pool) -> None:
        await ensure(pool, MARCH)
        attached = await pool.fetchval(
            "SELECT count(*) FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid"
            " WHERE indrelid = 'clicks_203103'::regclass"
        )
        assert attached == await pool.fetchval(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'clicks'::regclass"
        )

    async def test_many_at_once_make_one(self, pool: Pool) -> None:
        made = await asyncio.gather(*(ensure(pool, MARCH) for _ in range(5)))
        assert sorted(made) == [False, False, False, False, True]

    async def test_clicks_that_land_meanwhile_are_all_there(self, pool: Pool) -> None:
        base = id_floor(MARCH).int
        landed = 0
        done = asyncio.Event()

        async def land() -> None:
            nonlocal landed
            while not done.is_set():
                async with pool.acquire() as db, db.transaction():
                    await db.execute("SELECT count(*) FROM clicks")
                    landed += 1
                    await db.execute(INSERT, uuid4(), UUID(int=base + landed))

        landing = [asyncio.create_task(land()) for _ in range(3)]
        await eventually(lambda: landed >= 100)
        await ensure(pool, MARCH)
        seen = landed
        await eventually(lambda: landed >= seen + 100)
        done.set()
        await asyncio.gather(*landing)
        assert await pool.fetchval("SELECT count(*) FROM clicks_default") == 0
        assert await pool.fetchval("SELECT count(*) FROM clicks_203103") == landed
