"""The clock jumps: ids, partitions, rollups and lag all follow from it, and no click is lost.

The machine's own clock stays, because whoever tests is not alone on it. Two things stand in for it.
The short form makes ids of other times, which is all that an edge writes down of its clock. The whole
form runs the stack's own processes, from supervisor to edge, under libfaketime (Debian's package
`libfaketime`, where it is installed): each asks the system for the time and is told another one, which
jumps while they run. Monotonic clocks are left alone, as they are by a real jump; Postgres and
Valkey keep the true time, as they do on machines of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from tests.chaos.cases import says
from tests.chaos.chaos_stack import ChaosStack, chaos_stack
from tests.chaos.exactness import assert_nothing_lost, assert_sums_agree, list_clicks, take_stock
from tests.chaos.visitors import Visitors
from tests.edge.factories import make_click
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg

    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos, the clock")

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
        await assert_sums_agree(db)
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


class Clock:
    """What the processes under libfaketime are told, by a file that they read again every second."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.jump(0)

    @property
    def settings(self) -> dict[str, str]:
        """The environment that puts a process under this clock."""
        library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
        if library is None:
            pytest.skip("needs libfaketime")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def jump(self, offset_s: int) -> None:
        """Let the clock stand `offset_s` ahead of the true time."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset_s:+d}\n")
        draft.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, form: Form) -> Clock:
    if not form.is_whole:
        pytest.skip("part of ./switchyard test chaos")
    return Clock(tmp_path)


@pytest.fixture
def stack(home: Path, clock: Clock) -> Iterator[ChaosStack]:
    with chaos_stack(home / "clock", **clock.settings) as stack:
        yield stack


async def test_the_clock_of_every_process_jumps_both_ways(stack: ChaosStack, clock: Clock) -> None:
    await stack.warm()
    before = await take_stock(stack)
    visitors = Visitors(stack.ready["edge_url"])
    moments_ms = []
    async with visitors.following():
        await visitors.redirects(100)
        for offset_s, said in ((7200, "7200 s ahead of ours"), (-86_400, "86400 s behind ours")):
            clock.jump(offset_s)
            await eventually(lambda said=said: says(stack, said), timeout_s=30)  # type: ignore[misc]  # mypy cannot infer its default
            await visitors.redirects(200)
            moments_ms.append((visitors.clicks[-1].int >> 80) - offset_s * 1000)
        clock.jump(0)
        await visitors.redirects(200)
        await eventually(lambda: is_near_now(visitors.clicks[-1].int >> 80))
    assert (visitors.broken, visitors.unanswered, visitors.refusals.total()) == (0, 0, 0)
    await assert_nothing_lost(stack, visitors, before)
    assert all(map(is_near_now, moments_ms))


def is_near_now(unix_ms: int) -> bool:
    return abs(unix_ms / 1000 - time.time()) < 120
