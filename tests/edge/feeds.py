"""A link feed as its tests run it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from edge.contract import redis_keys
from edge.contract.link_record import encode_link
from edge.link_cache import LinkCache
from edge.link_feed import LinkFeed
from edge.worker import end_tasks
from tests.edge.factories import make_link
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


A_SECOND = 1.0


"""Within what a change must have reached every worker."""


class RunningFeed:
    """A feed that follows in the background, and the cache that it keeps."""

    def __init__(self, redis_url: str) -> None:
        self.cache = LinkCache(size=1000, unknown_ttl_s=60)
        self.feed = LinkFeed(redis_url, self.cache)
        self.task = asyncio.create_task(self.feed.follow())

    async def ready(self) -> None:
        await eventually(lambda: self.feed.is_ready)

    def version_of(self, slug: str) -> int | None:
        link = self.cache.get(slug)
        return link.record.version if link else None

    def is_unknown(self, slug: str) -> bool:
        return self.cache.is_unknown(slug, time.monotonic())

    async def becomes(self, slug: str, version: int, timeout_s: float = A_SECOND) -> None:
        await eventually(lambda: self.version_of(slug) == version, timeout_s=timeout_s, every_s=0.005)

    async def has_read_changes(self, redis: Redis) -> None:
        ((newest, _change),) = await redis.xrevrange(redis_keys.link_changes(), count=1)  # type: ignore[misc]
        await eventually(lambda: self.feed._position == newest)

    async def forgets_unknown(self, slug: str) -> None:
        await eventually(lambda: not self.is_unknown(slug), timeout_s=A_SECOND, every_s=0.005)

    async def stop(self) -> None:
        await end_tasks([self.task])
        await self.feed.aclose()


@contextlib.asynccontextmanager
async def slow_load(edge: RunningFeed, slug: str) -> AsyncIterator[None]:
    """Load a link; what happens inside the `with` happens after Redis was read, before that is used."""
    read, has_read, go_on = edge.feed._read_links, asyncio.Event(), asyncio.Event()

    async def read_slowly(keys: list[str]) -> list[tuple[bytes | None, bool]]:
        found = await read(keys)
        has_read.set()
        await go_on.wait()
        return found

    edge.feed._read_links = read_slowly  # type: ignore[method-assign]  # until the load has ended
    load = asyncio.create_task(edge.feed.load(slug))
    await has_read.wait()
    yield
    go_on.set()
    await load
    edge.feed._read_links = read  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def running_feed(redis_url: str) -> AsyncIterator[RunningFeed]:
    """Run a feed inside a `with`; at its end it must be running still."""
    running = RunningFeed(redis_url)
    yield running
    assert not running.task.done()
    await running.stop()


def encode(*, version: int) -> bytes:
    return encode_link(make_link(version=version))
