"""What can happen to a stack, each as a context: it is wrong inside, and can recover after.

`hold_s` is how long a disturbance lasts that has no end of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from control_plane.core.redis_client import open_redis
from control_plane.pipeline.publisher import is_redis_complete
from edge.snapshot import decode_block, read_snapshot
from tests.chaos.chaos_stack import EDGES, SLUGS
from tests.support import eventually

if TYPE_CHECKING:
    from tests.chaos.chaos_stack import ChaosStack

Disturbance = Callable[["ChaosStack", float], AbstractAsyncContextManager[None]]

_CUT_OFF: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'switchyard'"
_CONNECTED: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'switchyard'"


def killed(*names: str) -> Disturbance:
    """Kill processes with -9, all at once; the supervisor has started others at the end."""

    @asynccontextmanager
    async def disturb(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
        pids = {name: stack.pid(name) for name in names}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        yield
        for name, pid in pids.items():
            await stack.restarted(name, pid)
            assert f"{name} ended (killed by SIGKILL); starting it again" in stack.said()

    return disturb


def killed_unwatched(name: str) -> Disturbance:
    """Kill a process while the supervisor stands still, so that nobody starts another."""

    @asynccontextmanager
    async def disturb(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
        pid = stack.pid(name)
        with _standing_still(stack.pid("up"), alone=True):
            os.kill(pid, signal.SIGKILL)
            yield
        await stack.restarted(name, pid)

    return disturb


def together(*disturbances: Disturbance) -> Disturbance:
    """Let several things go wrong at the same time."""

    @asynccontextmanager
    async def disturb(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as all_of_them:
            for disturbance in disturbances:
                await all_of_them.enter_async_context(disturbance(stack, hold_s))
            yield

    return disturb


def ended(name: str, number: int = signal.SIGTERM) -> Disturbance:
    """Ask a process to stop, as an upgrade does; the supervisor starts it again."""

    @asynccontextmanager
    async def disturb(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
        pid = stack.pid(name)
        os.kill(pid, number)
        yield
        await stack.restarted(name, pid)

    return disturb


def stopped(*names: str) -> Disturbance:
    """Stop processes with all their children for a while, without ending them."""

    @asynccontextmanager
    async def disturb(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
        with contextlib.ExitStack() as going_on:
            for name in names:
                going_on.enter_context(_standing_still(stack.pid(name), alone=name == "up"))
            async with lasting(hold_s):
                yield

    return disturb


@contextlib.contextmanager
def _standing_still(pid: int, *, alone: bool) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    pids = [pid] if alone else [pid, *_list_children(pid)]
    for child in pids[1:]:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def _list_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def up_killed(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
    """Kill the supervisor, and with it all that it started; then start it again."""
    await asyncio.to_thread(stack.end, signal.SIGKILL)
    yield
    await asyncio.to_thread(stack.start)


@asynccontextmanager
async def up_ended(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
    """Stop all of it in order, and start it again."""
    await asyncio.to_thread(stack.end)
    yield
    await asyncio.to_thread(stack.start)


@asynccontextmanager
async def edges_restarted_without_stores(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Stop Redis and Postgres, then kill every edge worker: the new ones have nothing but the snapshot."""
    async with stopped("valkey", "postgres")(stack, hold_s), killed(*EDGES)(stack, hold_s):
        yield


def has_snapshot(stack: ChaosStack) -> bool:
    """Tell whether every link that the visitors follow is on the disk."""
    try:
        snapshot = read_snapshot(stack.journals.with_name("journal.links"))
    except FileNotFoundError:
        return False
    return {slug for block in snapshot.blocks for slug in decode_block(block)} >= set(SLUGS)


@asynccontextmanager
async def connections_cut(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Cut every connection to Redis, again and again, the shippers' among them."""

    async def cut() -> None:
        async with stack.redis() as redis:
            while True:
                await redis.client_kill_filter(_type="normal", skipme=True)
                await asyncio.sleep(0.05)

    async with _meanwhile(cut()), lasting(hold_s):
        yield


@asynccontextmanager
async def redis_full(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Let Redis refuse every write for want of memory."""
    async with stack.redis() as redis:
        await redis.config_set("maxmemory", 1)
        try:
            async with lasting(hold_s):
                yield
        finally:
            await redis.config_set("maxmemory", 0)


@asynccontextmanager
async def redis_emptied(stack: ChaosStack, _hold_s: float) -> AsyncIterator[None]:
    """Let Redis lose all that it holds, three times; each time the links come back by themselves."""
    async with (
        stack.redis() as redis,
        open_redis(stack.ready["redis_url"], timeout_s=5.0) as shards,
    ):
        for _ in range(3):
            await redis.flushall()
            await eventually(lambda: is_redis_complete(shards), timeout_s=30)
    yield


@asynccontextmanager
async def redis_stays_empty(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Let Redis lose all that it holds while the publisher, who would bring it back, stands still."""
    async with stopped("publisher")(stack, hold_s), stack.redis() as redis:
        await redis.flushall()
        yield


@asynccontextmanager
async def postgres_closed(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Let Postgres turn everybody away."""
    async with stack.database("postgres") as db:
        await db.execute("ALTER DATABASE switchyard ALLOW_CONNECTIONS false")
        try:
            await db.execute(_CUT_OFF)
            async with lasting(hold_s):
                yield
        finally:
            await db.execute("ALTER DATABASE switchyard ALLOW_CONNECTIONS true")


@asynccontextmanager
async def postgres_crowded(stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
    """Take every connection that Postgres has to give."""
    async with contextlib.AsyncExitStack() as taken:
        db = await taken.enter_async_context(stack.database("postgres"))

        async def take_all() -> None:
            while True:
                await db.execute(_CUT_OFF)
                try:
                    for _ in range(20):
                        await taken.enter_async_context(stack.database("postgres"))
                except asyncpg.TooManyConnectionsError:
                    if not await db.fetchval(_CONNECTED):
                        return

        await asyncio.wait_for(take_all(), 30)
        async with lasting(hold_s):
            yield


@asynccontextmanager
async def lasting(seconds: float) -> AsyncIterator[None]:
    """Take at least that long."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    yield
    await asyncio.sleep(until - clock())


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do `work`, which has no end, while inside."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
