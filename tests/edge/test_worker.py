from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from edge import worker as worker_module
from edge.contract.redis_keys import events
from edge.settings import Settings
from edge.worker import Worker, _keep_running, _new_id, end_tasks
from tests.edge.factories import declare_ready, make_link, make_request, publish
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis


@pytest.fixture
async def worker(
    tmp_path: Path, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Worker]:
    monkeypatch.setattr(worker_module, "DRAIN_S", 0)
    await publish(redis, make_link())
    await declare_ready(redis)
    worker = Worker(Settings(redis_url=redis_url, journal_dir=str(tmp_path), journal_sync="always"))
    worker.start()
    await eventually(lambda: worker._feed.is_ready)
    yield worker
    await worker.stop()


class TestTasks:
    async def test_a_fault_that_nobody_foresaw_does_not_end_a_task(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_module, "RESTART_S", 0)
        runs = 0

        async def work() -> None:
            nonlocal runs
            runs += 1
            raise RuntimeError(runs)

        task = asyncio.create_task(_keep_running("test", work))
        await eventually(lambda: runs > 3)
        await end_tasks([task])

    async def test_a_task_that_swallows_a_cancellation_ends_all_the_same(self) -> None:
        async def stubborn() -> None:
            for _ in range(3):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
            await asyncio.sleep(60)

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(end_tasks([task]), 10)
        assert task.cancelled()
        await end_tasks([])


class TestIds:
    def test_they_follow_a_clock_that_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        true_ns = time.time_ns()
        for offset_ns in (0, 86_400 * 10**9, 0):
            monkeypatch.setattr(time, "time_ns", lambda offset_ns=offset_ns: true_ns + offset_ns)
            ids = {_new_id() for _ in range(1000)}
            assert len(ids) == 1000
            assert {new.int >> 80 for new in ids} == {(true_ns + offset_ns) // 10**6}


class TestWaitingForTheDisk:
    async def test_an_answer_leaves_when_the_click_is_on_the_disk(
        self, worker: Worker, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_disk: list[int] = []
        sync = worker._journal.sync

        def sync_and_tell() -> None:
            sync()
            on_disk.append(worker._journal._events)

        monkeypatch.setattr(worker._journal, "sync", sync_and_tell)
        assert worker.answer(make_request()) is None
        for number in range(1, 4):
            assert (await worker.answer_later(make_request())).status == 302
            assert on_disk[-1] == number
        await eventually(lambda: redis.xlen(events(0)))

    async def test_a_disk_that_fails_redirects_nobody_until_it_works_again(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(worker._journal, "sync", fail)
            answers = await asyncio.gather(*(worker.answer_later(make_request()) for _ in range(5)))
            assert [answer.status for answer in answers] == [503] * 5
        assert (await worker.answer_later(make_request())).status == 302
