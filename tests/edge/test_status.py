from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edge import worker as worker_module
from edge.counters import Counter
from edge.settings import Settings, snapshot_path
from edge.snapshot import SnapshotWriter
from edge.status import Health
from edge.worker import Worker
from tests.edge.factories import declare_ready, make_link, make_request, publish
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from tests.conftest import TestServer


@pytest.fixture
async def worker(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    """A worker that has a snapshot with one link; Redis has none yet."""
    monkeypatch.setattr(worker_module, "DRAIN_S", 0)
    settings = Settings(redis_url=redis_url, journal_dir=str(tmp_path / "journal"))
    with SnapshotWriter(snapshot_path(settings)) as writer:
        writer.write_domains({})
        writer.write({"summer": msgspec.msgpack.encode(make_link())})
        writer.finish(written_ms=1000)
    worker = Worker(settings)
    worker.start()
    yield worker
    await worker.stop()


async def ask(worker: Worker, path: str) -> tuple[int, bytes]:
    response = await worker.answer_later(make_request(path))
    return response.status, response.body


async def read_health(worker: Worker) -> Health:
    _status, body = await ask(worker, "/_/health")
    return msgspec.json.decode(body, type=Health)


class TestHealth:
    async def test_it_says_that_links_come_from_a_snapshot_and_how_old_it_is(
        self, worker: Worker, redis: Redis
    ) -> None:
        async def is_restored() -> bool:
            return (await read_health(worker)).cached_links == 1

        await eventually(is_restored)
        health = await read_health(worker)
        assert health.ready
        assert not health.links_ready
        assert health.snapshot_age_s is not None
        assert health.snapshot_age_s > 1_000_000_000
        assert any(f"{health.snapshot_age_s // 10}" in problem for problem in health.problems)
        assert (await ask(worker, "/summer"))[0] == 302
        assert (await ask(worker, "/winter"))[0] == 503

        await publish(redis, make_link())
        await declare_ready(redis)

        async def is_ready() -> bool:
            return (await read_health(worker)).links_ready

        await eventually(is_ready)
        health = await read_health(worker)
        assert health.snapshot_age_s is None
        assert not any("snapshot" in problem for problem in health.problems)

    async def test_it_tells_a_full_redis_from_one_that_is_away(
        self, worker: Worker, redis: Redis, valkey_server: TestServer
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)

        async def says(words: str) -> bool:
            # What is journaled has to be shipped, so that the full Redis is asked to write.
            assert worker.answer(make_request("/summer")) or await ask(worker, "/summer")
            return any(words in problem for problem in (await read_health(worker)).problems)

        async def is_well() -> bool:
            return not (await read_health(worker)).problems

        await eventually(is_well)
        await redis.config_set("maxmemory", 1)
        try:
            await eventually(lambda: says("Redis is out of memory and takes no clicks"))
            assert not await says("does not answer")
        finally:
            await redis.config_set("maxmemory", 0)
        await eventually(is_well)
        valkey_server.kill()
        await eventually(lambda: says("Redis does not answer"))
        valkey_server.start()

    async def test_it_says_that_the_journal_has_no_room(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "no room" not in str((await read_health(worker)).problems)
        monkeypatch.setattr(worker._status._spool, "budget_bytes", 0)
        assert not worker._status._spool.allows(1)
        assert "Clicks cannot be recorded" in str((await read_health(worker)).problems)

    async def test_what_a_damaged_journal_lost_is_no_lag(self, worker: Worker) -> None:
        values = worker._journal.counters.values
        values[Counter.JOURNALED], values[Counter.LANDED], values[Counter.LOST] = 10, 5, 3
        events = (await read_health(worker)).events
        assert (events.lag_events, events.lost) == (2, 3)

    async def test_nothing_else_lies_below_the_prefix(self, worker: Worker) -> None:
        assert (await ask(worker, "/_/health/live")) == (200, b'{"live":true}')
        assert (await ask(worker, "/_/nothing"))[0] == 404
