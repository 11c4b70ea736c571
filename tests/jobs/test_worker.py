from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from control_plane.jobs import worker
from control_plane.settings import Settings
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from control_plane.db.pool import Pool
    from tests.conftest import TestServer


@pytest.fixture
def run_worker(database_url: str) -> Callable[[], AbstractAsyncContextManager[None]]:
    settings = Settings(
        database_url=database_url,
        redis_url="redis://unused.example",
        jwt_secret="s" * 32,
        master_key="00" * 32,
    )

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(settings, stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)

    return run


async def list_schedules(pool: Pool) -> set[tuple[str, str]]:
    rows = await pool.fetch("SELECT entrypoint, expression FROM pgqueuer_schedules")
    return {(row["entrypoint"], row["expression"]) for row in rows}


async def make_due(pool: Pool, name: str) -> None:
    await pool.execute("UPDATE pgqueuer_schedules SET next_run = now() WHERE entrypoint = $1", name)


async def has_run(pool: Pool, name: str) -> bool:
    due = "SELECT last_run IS NOT NULL FROM pgqueuer_schedules WHERE entrypoint = $1 AND status = 'queued'"
    return bool(await pool.fetchval(due, name))


async def are_all_scheduled(pool: Pool) -> bool:
    return await list_schedules(pool) == {(name, when) for name, (when, _job) in worker.SCHEDULES.items()}


class TestRun:
    async def test_every_job_is_scheduled_once(
        self, pool: Pool, run_worker: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        for _start in range(2):
            async with run_worker():
                await eventually(lambda: are_all_scheduled(pool))
        assert await pool.fetchval("SELECT count(*) FROM pgqueuer_schedules") == len(worker.SCHEDULES)

    async def test_what_was_due_meanwhile_runs_at_the_start(
        self, pool: Pool, run_worker: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        async with run_worker():
            await eventually(lambda: are_all_scheduled(pool))
        await make_due(pool, "make_partitions")
        await pool.execute(f"DROP TABLE clicks_{datetime.now(UTC):%Y%m}")
        async with run_worker():
            await eventually(lambda: has_run(pool, "make_partitions"))
        assert await pool.fetchval("SELECT to_regclass($1) IS NOT NULL", f"clicks_{datetime.now(UTC):%Y%m}")

    async def test_a_job_that_fails_is_free_for_its_next_time(
        self, pool: Pool, run_worker: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        async with run_worker():
            await eventually(lambda: are_all_scheduled(pool))
        await pool.execute("ALTER TABLE journal_ledger RENAME TO journal_ledger_away")
        await make_due(pool, "trim_journal_ledger")
        await make_due(pool, "make_partitions")
        async with run_worker():
            await eventually(lambda: has_run(pool, "trim_journal_ledger"))
            await eventually(lambda: has_run(pool, "make_partitions"))

    async def test_postgres_away_at_the_start(
        self,
        pool: Pool,
        postgres_server: TestServer,
        run_worker: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        postgres_server.stop()
        async with run_worker():
            postgres_server.start()
            await eventually(lambda: are_all_scheduled(pool))

    async def test_stop_returns_while_postgres_is_away(self) -> None:
        nowhere = Settings(
            database_url=f"postgresql://x@127.0.0.1:{free_port()}/x",
            redis_url="redis://unused.example",
            jwt_secret="s" * 32,
            master_key="00" * 32,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(nowhere, stop))
        done, _ = await asyncio.wait([running], timeout=0.3)
        assert not done
        stop.set()
        await asyncio.wait_for(running, 5)
