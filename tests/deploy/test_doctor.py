from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from control_plane.delivery.courier import NO_SMTP_SERVER
from deploy import doctor
from deploy.data_folder import Ready
from edge.status import Events, Health, JournalUse
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg
    from redis.asyncio import Redis

HEALTHY = Health(
    live=True,
    ready=True,
    redis=True,
    links_ready=True,
    cached_links=1,
    events=Events(served=0, journaled=0, shipped=0, landed=0, lag_events=0, lag_ms=0, lost=0),
    journal=JournalUse(journals=1, used_bytes=0, budget_bytes=100),
    problems=[],
)


@pytest.fixture
def edge_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
        return port


class Edge:
    """A worker that says of itself what it is told to; its clock is `ahead_s` ahead of ours."""

    def __init__(self, health: Health = HEALTHY, *, ahead_s: float = 0) -> None:
        self._health = health
        self._ahead_s = ahead_s

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        clock_ms = int((time.time() + self._ahead_s) * 1000)
        body = msgspec.json.encode(msgspec.structs.replace(self._health, clock_ms=clock_ms))
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        writer.close()


async def find_wrong(stack: Ready | None = None, **environment: str) -> dict[str, str]:
    report = await doctor.examine({f"SWITCHYARD_{name}": value for name, value in environment.items()}, stack)
    return {check.name: check.says for check in report.checks if not check.ok}


async def find_wrong_with_edge(*edges: Edge) -> dict[str, str]:
    """Let the doctor look at workers that share a port."""
    port = free_port()
    async with contextlib.AsyncExitStack() as running:
        for edge in edges:
            server = await asyncio.start_server(edge.answer, "127.0.0.1", port, reuse_port=True)
            await running.enter_async_context(server)
        return await find_wrong(EDGE_URL=f"http://127.0.0.1:{port}")


async def test_edge_that_answers_is_well() -> None:
    assert not {"edge", "clicks", "journal", "clock"} & (await find_wrong_with_edge(Edge())).keys()


async def test_what_one_of_the_workers_says_is_passed_on() -> None:
    unwell = msgspec.structs.replace(HEALTHY, problems=["It rains."])
    assert "It rains." in (await find_wrong_with_edge(Edge(), Edge(unwell)))["edge"]


@pytest.mark.parametrize(
    ("ahead_s", "says"), [(3600, "3600 s ahead of ours"), (-86400, "86400 s behind ours")]
)
async def test_a_clock_that_is_wrong_is_found(ahead_s: float, says: str) -> None:
    assert says in (await find_wrong_with_edge(Edge(ahead_s=ahead_s)))["clock"]


async def test_one_worker_that_hangs_is_found(edge_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EDGE_ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", edge_port), reuse_port=True):
        async with await asyncio.start_server(Edge().answer, "127.0.0.1", edge_port, reuse_port=True):
            wrong = await find_wrong(EDGE_URL=f"http://127.0.0.1:{edge_port}")
    assert "Does a worker hang?" in wrong["edge"]


async def test_full_redis_is_found(redis: Redis, redis_url: str) -> None:
    assert "redis memory" not in await find_wrong(REDIS_URL=redis_url)
    await redis.config_set("maxmemory", 1)
    try:
        wrong = await find_wrong(REDIS_URL=redis_url)
        assert "Redis is full" in wrong["redis memory"]
        assert "Raise maxmemory." in wrong["redis memory"]
        assert "redis" not in wrong  # it answers
    finally:
        await redis.config_set("maxmemory", 0)


async def test_a_slow_redis_is_found(redis: Redis, redis_url: str) -> None:
    assert "redis speed" not in await find_wrong(REDIS_URL=redis_url)

    async def pause() -> None:
        while True:
            await redis.client_pause(200)

    pausing = asyncio.create_task(pause())
    wrong = await find_wrong(REDIS_URL=redis_url)
    pausing.cancel()
    await asyncio.wait([pausing])
    await redis.client_unpause()
    assert "ms to answer" in wrong["redis speed"]


async def test_a_refusal_is_not_called_silence(redis_url: str, database_url: str) -> None:
    wrong = await find_wrong(
        REDIS_URL=redis_url.replace("redis://:", "redis://:wrong"), DATABASE_URL=f"{database_url}_not_there"
    )
    assert "turns us away" in wrong["redis"]
    assert "turns us away" in wrong["postgres"]
    nowhere = free_port()
    wrong = await find_wrong(
        REDIS_URL=f"redis://127.0.0.1:{nowhere}", DATABASE_URL=f"postgresql://x@127.0.0.1:{nowhere}/x"
    )
    assert "does not answer" in wrong["redis"]
    assert "does not answer" in wrong["postgres"]


class TestProcesses:
    @pytest.fixture
    def child(self) -> Iterator[subprocess.Popen[bytes]]:
        child = subprocess.Popen(["sleep", "600"])
        yield child
        child.kill()
        child.wait()

    def make_ready(self, child: subprocess.Popen[bytes], *, up: int) -> Ready:
        return Ready("", "", "", "", "", "", "", processes={"flusher": child.pid}, up=up)

    async def test_one_that_stands_still_is_named_then_one_that_is_gone(
        self, child: subprocess.Popen[bytes]
    ) -> None:
        stack = self.make_ready(child, up=os.getpid())
        assert "processes" not in await find_wrong(stack)
        child.send_signal(signal.SIGSTOP)
        stopped = await eventually(lambda: self.find_fault(stack))
        assert f"flusher (process {child.pid}) is stopped" in stopped
        child.kill()
        child.wait()
        assert f"flusher (process {child.pid}) has ended" in await self.find_fault(stack)

    async def find_fault(self, stack: Ready) -> str:
        return (await find_wrong(stack)).get("processes", "")

    async def test_so_is_the_supervisor(self, child: subprocess.Popen[bytes]) -> None:
        stack = self.make_ready(child, up=child.pid)
        child.kill()
        child.wait()
        assert "Start ./switchyard up again" in await self.find_fault(stack)


class TestMessages:
    """What doctor says of the queue of messages."""

    @staticmethod
    async def add(pool: asyncpg.Pool, status: str = "queued", overdue_s: int = 0, reason: str = "") -> None:
        job_id = await pool.fetchval(
            "INSERT INTO pgqueuer (priority, entrypoint, payload, status, execute_after)"
            " VALUES (0, 'send_message', '', $1, now() - make_interval(secs => $2)) RETURNING id",
            status,
            overdue_s,
        )
        if reason:
            await pool.execute(
                "INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority, traceback)"
                " VALUES ($1, 'failed', 'send_message', 0, $2)",
                job_id,
                {"exception_message": reason},
            )

    @staticmethod
    async def examine(database_url: str) -> doctor.Check:
        report = await doctor.examine({"SWITCHYARD_DATABASE_URL": database_url})
        return next(check for check in report.checks if check.name == "messages")

    async def test_those_that_wait_and_those_that_are_dead_are_counted(
        self, pool: asyncpg.Pool, database_url: str
    ) -> None:
        assert (await self.examine(database_url)).ok
        await self.add(pool)
        await self.add(pool, overdue_s=-3600)
        await self.add(pool, "failed", reason="the server answered 550")
        check = await self.examine(database_url)
        assert check.ok
        assert "2 messages wait to be delivered, 1 could not be" in check.says
        assert "because the server answered 550" in check.says

    async def test_one_that_is_late_is_found(self, pool: asyncpg.Pool, database_url: str) -> None:
        await self.add(pool, overdue_s=90)
        check = await self.examine(database_url)
        assert not check.ok
        assert "does a jobs worker run?" in check.says

    async def test_nothing_set_to_send_with_is_found(self, pool: asyncpg.Pool, database_url: str) -> None:
        await self.add(pool, "failed", reason=NO_SMTP_SERVER)
        check = await self.examine(database_url)
        assert not check.ok
        assert "Set SWITCHYARD_SMTP_URL" in check.says
