from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from edge.contract import redis_keys
from edge.contract.events import encode_event, read_chunk, split_frames
from edge.counters import OLDEST_UNLANDED_MS, Counter
from edge.shipper import CHUNKS_IN_FLIGHT, Shipper
from edge.spool import Spool
from edge.worker import end_tasks
from tests.edge.factories import make_click
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from edge.contract.events import Chunk
    from edge.journal import Journal
    from tests.conftest import TestServer

KIB = 1 << 10


class RunningShipper:
    """A worker's journal and its shipper, without the worker."""

    def __init__(self, folder: Path, redis_url: str, *, window_bytes: int = 1 << 20) -> None:
        self.spool = Spool(folder / "journals", segment_bytes=64 * KIB, budget_bytes=64 << 20)
        self.journal = self.spool.open_journal()
        self.shipper = Shipper(
            spool=self.spool,
            journal=self.journal,
            redis_url=redis_url,
            interval_s=0.001,
            window_bytes=window_bytes,
        )
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, *, adopting: bool = True) -> None:
        self.tasks = [asyncio.create_task(self.shipper.keep_shipping())]
        if adopting:
            self.tasks.append(asyncio.create_task(self.shipper.keep_adopting()))

    def click(self, count: int = 1, size: int = 10) -> list[bytes]:
        events = [encode_event(make_click(query="q" * size)) for _ in range(count)]
        for event in events:
            self.journal.append(event)
        return events

    def count(self, counter: Counter) -> int:
        return self.journal.counters.values[counter]

    async def stop(self, drain_s: float = 0) -> None:
        if self.tasks:
            assert not any(task.done() for task in self.tasks)
            await end_tasks(self.tasks)
            self.tasks = []
        await self.shipper.drain(drain_s)


@pytest.fixture
async def edge(tmp_path: Path, redis_url: str) -> AsyncIterator[RunningShipper]:
    running = RunningShipper(tmp_path, redis_url)
    running.start()
    yield running
    await running.stop()


async def list_entries(redis: Redis) -> list[tuple[bytes, Chunk]]:
    entries: Any = await redis.xrange(redis_keys.events(0))
    return [(entry_id, read_chunk(fields)) for entry_id, fields in entries]


async def list_chunks(redis: Redis) -> list[Chunk]:
    return [chunk for _entry_id, chunk in await list_entries(redis)]


async def list_events(redis: Redis) -> list[bytes]:
    by_name = {(chunk.journal_id, chunk.sequence): chunk for chunk in await list_chunks(redis)}
    chunks = [by_name[name] for name in sorted(by_name)]
    return [bytes(event) for chunk in chunks for event in split_frames(chunk.body)]


async def announce(redis: Redis, journal: Journal, sequence: int) -> None:
    await redis.set(redis_keys.landed(journal.journal_id, 0), sequence)


async def land_everything(redis: Redis) -> list[bytes]:
    """Do what a flusher does with what is in the stream; give the events."""
    landed: list[bytes] = []
    highest: dict[str, int] = {}
    for entry_id, chunk in await list_entries(redis):
        highest[chunk.journal_id] = max(chunk.sequence, highest.get(chunk.journal_id, 0))
        landed += [bytes(event) for event in split_frames(chunk.body)]
        await redis.set(redis_keys.landed(chunk.journal_id, 0), highest[chunk.journal_id])
        await redis.xdel(redis_keys.events(0), entry_id)
    return landed


class TestShipping:
    async def test_events_arrive_as_chunks_in_order(self, edge: RunningShipper, redis: Redis) -> None:
        events = []
        for _ in range(20):
            events += edge.click(7)
            await asyncio.sleep(0.002)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 140)
        chunks = await list_chunks(redis)
        assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
        assert {chunk.journal_id for chunk in chunks} == {edge.journal.journal_id}
        assert sum(chunk.events for chunk in chunks) == 140
        assert await list_events(redis) == events
        assert edge.count(Counter.LANDED) == 0

    async def test_what_has_landed_frees_its_segments(self, edge: RunningShipper, redis: Redis) -> None:
        edge.click(100, size=4 * KIB)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 100)
        assert len(list(edge.journal.folder.glob("*.seg"))) > 5
        await land_everything(redis)
        await eventually(lambda: edge.journal.is_empty)
        assert edge.count(Counter.LANDED) == 100
        assert len(list(edge.journal.folder.glob("*.seg"))) == 1
        await eventually(lambda: edge.journal.counters.values[OLDEST_UNLANDED_MS] == 0)

    async def test_the_oldest_unlanded_event_is_shown(self, edge: RunningShipper) -> None:
        (event,) = edge.click(1)
        edge.click(5)
        await eventually(lambda: edge.journal.counters.values[OLDEST_UNLANDED_MS])
        assert edge.journal.counters.values[OLDEST_UNLANDED_MS] == int.from_bytes(event[5:11], "big")

    async def test_an_idle_shipper_sends_nothing_and_notices_that_redis_is_away(
        self, edge: RunningShipper, redis: Redis, valkey_server: TestServer
    ) -> None:
        await eventually(lambda: edge.shipper.is_connected)
        assert await redis.xlen(redis_keys.events(0)) == 0
        valkey_server.kill()
        await eventually(lambda: not edge.shipper.is_connected)
        valkey_server.start()
        await eventually(lambda: edge.shipper.is_connected)


class TestWindow:
    async def test_what_is_in_flight_is_bounded_in_bytes(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url, window_bytes=100 * KIB)
        edge.start()
        events: list[bytes] = []
        for _ in range(60):
            events += edge.click(10, size=KIB)
            await asyncio.sleep(0.002)
        await eventually(lambda: edge.journal.in_flight_bytes > 50 * KIB)
        assert edge.journal.in_flight_bytes <= 100 * KIB
        size = sum(len(chunk.body) for chunk in await list_chunks(redis))
        assert size <= 100 * KIB
        landed: list[bytes] = []
        while len(landed) < len(events):
            landed += await land_everything(redis)
            assert edge.journal.in_flight_bytes <= 100 * KIB
            await asyncio.sleep(0.002)
        assert landed == events
        await edge.stop()

    async def test_a_chunk_larger_than_the_window_goes_alone(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url, window_bytes=KIB)
        events = edge.click(3, size=20 * KIB) + edge.click(3, size=20 * KIB)
        edge.start()
        landed: list[bytes] = []
        while len(landed) < len(events):
            assert await redis.xlen(redis_keys.events(0)) <= 1
            landed += await land_everything(redis)
            await asyncio.sleep(0.002)
        assert landed == events
        await edge.stop()

    async def test_it_is_bounded_in_chunks_and_the_rest_is_not_cut_by_time(
        self, tmp_path: Path, redis_url: str
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url)
        for _ in range(CHUNKS_IN_FLIGHT + 5):
            edge.click(1)
            edge.journal.cut()
        edge.start()
        await eventually(lambda: len(edge.journal.in_flight) >= CHUNKS_IN_FLIGHT)
        waiting = len(edge.journal.unshipped)
        for _ in range(10):
            edge.click(1)
            await asyncio.sleep(0.005)
        assert len(edge.journal.in_flight) < CHUNKS_IN_FLIGHT + 16
        assert len(edge.journal.unshipped) == waiting
        await edge.stop()


class TestLoss:
    async def test_what_redis_lost_is_shipped_again(self, edge: RunningShipper, redis: Redis) -> None:
        events = edge.click(10)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 10)
        before = await list_chunks(redis)
        await redis.flushdb()
        await eventually(lambda: _has_events(redis, 10))
        assert await list_chunks(redis) == before
        assert await list_events(redis) == events

    async def test_what_was_trimmed_is_shipped_again_and_everything_lands(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        """Later chunks stay in the stream meanwhile, and segments change: nothing may be freed early."""
        edge = RunningShipper(tmp_path, redis_url)
        events: list[bytes] = []
        for _ in range(30):
            events += edge.click(1, size=8 * KIB)
            edge.journal.cut()
        edge.start()
        await eventually(lambda: edge.count(Counter.SHIPPED) == 30)
        await redis.xtrim(redis_keys.events(0), maxlen=5, approximate=False)
        await eventually(lambda: _has_events(redis, 30))
        for _ in range(30):
            events += edge.click(1, size=8 * KIB)
            edge.journal.cut()
        await eventually(lambda: edge.count(Counter.SHIPPED) == 60)
        await redis.flushdb()
        await eventually(lambda: _has_events(redis, 60))
        assert await list_events(redis) == events
        await land_everything(redis)
        await eventually(lambda: edge.journal.is_empty)
        await edge.stop()

    async def test_what_landed_and_left_the_stream_is_not_taken_for_lost(
        self, edge: RunningShipper, redis: Redis
    ) -> None:
        edge.click(5)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 5)
        await land_everything(redis)
        await eventually(lambda: edge.journal.is_empty)
        edge.click(1)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 6)
        edge.shipper._next_loss_check = 0
        await eventually(lambda: edge.shipper._next_loss_check > 0)
        assert len(await list_events(redis)) == 1

    async def test_a_watermark_that_falls_back_frees_nothing_twice_and_loses_nothing(
        self, edge: RunningShipper, redis: Redis
    ) -> None:
        """Two flushers may announce in another order than they committed in."""
        for _ in range(4):
            edge.click(1)
            edge.journal.cut()
        await eventually(lambda: edge.count(Counter.SHIPPED) == 4)
        await announce(redis, edge.journal, 3)
        await eventually(lambda: edge.count(Counter.LANDED) == 3)
        await announce(redis, edge.journal, 1)
        edge.click(1)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 5)
        assert edge.count(Counter.LANDED) == 3
        await announce(redis, edge.journal, 5)
        await eventually(lambda: edge.journal.is_empty)


class TestRedisAway:
    async def test_the_journal_grows_uncut_and_drains_afterwards(
        self, edge: RunningShipper, redis: Redis, valkey_server: TestServer
    ) -> None:
        events = edge.click(3)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 3)
        valkey_server.kill()
        await eventually(lambda: not edge.shipper.is_connected)
        for _ in range(20):
            events += edge.click(2)
            await asyncio.sleep(0.02)
        assert len(edge.journal.unshipped) <= 2  # not one for every interval
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await eventually(lambda: _has_events(redis, 43))
        assert await list_events(redis) == events

    async def test_a_redis_that_hangs_is_survived(
        self, edge: RunningShipper, redis: Redis, valkey_server: TestServer
    ) -> None:
        events = edge.click(3)
        await eventually(lambda: edge.count(Counter.SHIPPED) == 3)
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            events += edge.click(3)
            await eventually(lambda: not edge.shipper.is_connected)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        await eventually(lambda: _has_events(redis, 6))
        assert await list_events(redis) == events

    async def test_a_redis_without_memory_is_waited_for(self, edge: RunningShipper, redis: Redis) -> None:
        await redis.config_set("maxmemory", "1")
        try:
            events = edge.click(3)
            await eventually(lambda: not edge.shipper.is_connected)
        finally:
            await redis.config_set("maxmemory", "0")
        await eventually(lambda: edge.count(Counter.SHIPPED) == 3)
        assert await list_events(redis) == events


class TestAdoption:
    async def test_the_journals_of_the_dead_are_shipped_and_retired(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        dead = RunningShipper(tmp_path, redis_url)
        events = dead.click(5)
        dead.journal.cut()
        events += dead.click(2)
        dead.journal.counters.values[Counter.SERVED] = 7
        dead.journal.close()
        edge = RunningShipper(tmp_path, redis_url)
        edge.start()
        await eventually(lambda: _has_events(redis, 7))
        assert await list_events(redis) == events
        assert [chunk.events for chunk in await list_chunks(redis)] == [5, 2]
        await land_everything(redis)
        await eventually(lambda: not dead.journal.folder.exists())
        assert edge.spool.read_state().values[Counter.SERVED] == 7
        assert edge.spool.read_state().values[Counter.LANDED] == 7
        await edge.stop()

    async def test_a_journal_that_cannot_be_retired_yet_is_retired_later(
        self, tmp_path: Path, redis_url: str
    ) -> None:
        dead = RunningShipper(tmp_path, redis_url)
        dead.journal.close()
        edge = RunningShipper(tmp_path, redis_url)
        obstacle = tmp_path / "journals" / "totals.new"
        obstacle.mkdir()
        edge.start()
        await eventually(lambda: edge.shipper._adopted)
        edge.shipper._next_loss_check = 0
        await eventually(lambda: edge.shipper._next_loss_check > 0)
        assert edge.shipper.is_connected
        assert dead.journal.folder.exists()
        obstacle.rmdir()
        await eventually(lambda: not dead.journal.folder.exists())
        await edge.stop()


class TestDrain:
    async def test_it_ships_waits_for_the_landing_and_retires_the_journal(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url)
        edge.start()
        await eventually(lambda: edge.shipper.is_connected)
        events = edge.click(50)
        stopping = asyncio.create_task(edge.stop(drain_s=10))
        await eventually(lambda: _has_events(redis, 50))
        assert not stopping.done()
        assert await land_everything(redis) == events
        await stopping
        assert not edge.journal.folder.exists()
        assert edge.spool.read_state().values[Counter.LANDED] == 50

    async def test_what_does_not_land_in_time_is_kept_for_the_next_worker(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url)
        edge.start()
        events = edge.click(5)
        await edge.stop(drain_s=0.3)
        assert await list_events(redis) == events
        (left,) = edge.spool.adopt_dead()
        assert sum(cut.events for cut in left.unshipped) == 5
        left.close()

    async def test_without_redis_it_ends_at_once_and_keeps_everything(
        self, tmp_path: Path, redis_url: str, valkey_server: TestServer
    ) -> None:
        edge = RunningShipper(tmp_path, redis_url)
        edge.start()
        await eventually(lambda: edge.shipper.is_connected)
        valkey_server.kill()
        edge.click(5)
        await asyncio.wait_for(edge.stop(drain_s=60), 10)
        (left,) = edge.spool.adopt_dead()
        assert sum(cut.events for cut in left.unshipped) == 5
        left.close()

    async def test_cut_off_in_the_middle_of_a_call_it_still_drains(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        events: list[bytes] = []
        for round_ in range(20):
            edge = RunningShipper(tmp_path, redis_url)
            edge.start(adopting=False)
            events += edge.click(5, size=5 * KIB)
            await asyncio.sleep(0.0005 * round_)
            await edge.stop(drain_s=0.02)
        last = RunningShipper(tmp_path, redis_url)
        last.start()
        landed: set[bytes] = set()

        async def has_landed_everything() -> bool:
            landed.update(await land_everything(redis))
            return landed == set(events)

        await eventually(has_landed_everything)
        await eventually(lambda: last.spool.read_state().journals == 1)
        await last.stop()


async def _has_events(redis: Redis, count: int) -> bool:
    return len(await list_events(redis)) == count
