"""The clock of an edge jumps: ids, partitions, rollups and lag all follow from it, and no click is lost.

The machine's own clock stays: what jumps is the time in the ids, which is all that an edge
writes down of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from control_plane.core.ids import id_floor
from control_plane.db.partitions import make_partitions
from control_plane.pipeline import flusher
from control_plane.settings import Settings
from edge.contract.events import encode_event
from edge.counters import OLDEST_UNLANDED_MS, Counter
from edge.shipper import Shipper
from edge.spool import Spool
from tests.chaos.exactness import assert_rollups_agree, list_clicks
from tests.edge.factories import make_click
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

NOW = datetime.now(UTC)
JUMPS = [
    timedelta(),
    timedelta(hours=-1),
    timedelta(days=-400),
    timedelta(),
    timedelta(days=200),
    timedelta(days=36_500),
    timedelta(seconds=-1),
]
"""Where the clock stands, one after another, as seen from the true time."""
EPOCH = datetime.fromtimestamp(0, UTC)
"""What a machine without a battery starts with."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "journals", segment_bytes=1 << 20, budget_bytes=1 << 26)


@contextlib.asynccontextmanager
async def pipeline(shipper: Shipper, settings: Settings) -> AsyncIterator[None]:
    """Ship and flush while inside."""
    stop = asyncio.Event()
    shipping = asyncio.create_task(shipper.keep_shipping())
    flushing = asyncio.create_task(flusher.run(settings, stop))
    try:
        yield
    finally:
        shipping.cancel()
        await asyncio.wait([shipping])
        stop.set()
        await asyncio.wait_for(flushing, 10)


async def test_a_clock_that_jumps_loses_and_doubles_nothing(
    spool: Spool, pool: asyncpg.Pool, database_url: str, redis_url: str
) -> None:
    journal = spool.open_journal()
    shipper = Shipper(
        spool=spool, journal=journal, redis_url=redis_url, interval_s=0.001, window_bytes=1 << 20
    )
    settings = Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)
    moments = [NOW + jump for jump in JUMPS] + [EPOCH]
    times = [moment for moment in moments for _ in range(100)]
    expected = [make_id(moment, number) for number, moment in enumerate(times)]
    async with pipeline(shipper, settings):
        for click_id in expected:
            journal.append(encode_event(make_click(id=click_id.bytes)))
            await asyncio.sleep(0)
        await eventually(lambda: journal.is_empty)
        await eventually(lambda: journal.counters.values[OLDEST_UNLANDED_MS] == 0)
    assert journal.counters.values[Counter.LANDED] == len(expected)
    async with pool.acquire() as db:
        assert sorted(await list_clicks(db)) == sorted(expected)
        await assert_rollups_agree(db)
        # The months that the clock had been in by mistake come in the end, and get their partitions.
        for moment in moments[4:6]:
            await make_partitions(db, moment)
            month = await db.fetchval(
                "SELECT tableoid::regclass::text FROM clicks WHERE id >= $1 AND id < $2 LIMIT 1",
                id_floor(moment), id_floor(moment + timedelta(milliseconds=1)),
            )  # fmt: skip
            assert month == f"clicks_{moment:%Y%m}"
        assert sorted(await list_clicks(db)) == sorted(expected)


def make_id(moment: datetime, number: int) -> UUID:
    """Make an id of its own for a click at `moment`."""
    return UUID(int=id_floor(moment).int | number + 1)
