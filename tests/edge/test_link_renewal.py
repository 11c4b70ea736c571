from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from edge.contract.link_record import encode_link
from edge.worker import end_tasks
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.feeds import RunningFeed, running_feed
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.conftest import TestServer


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningFeed]:
    async with running_feed(redis_url) as running:
        yield running


class TestRenewing:
    async def test_what_a_new_epoch_forgot_is_fetched_again(self, edge: RunningFeed, redis: Redis) -> None:
        names = [f"slug-{number}" for number in range(500)]
        await publish(redis, *(make_link(slug=slug) for slug in names))
        await declare_ready(redis, "1")
        await edge.ready()
        await asyncio.gather(*(edge.feed.load(slug) for slug in names))
        for slug in names[1:]:
            await redis.set(redis_keys.link(slug), encode_link(make_link(slug=slug, version=2)))
        await redis.delete(redis_keys.link(names[0]))
        await declare_ready(redis, "2")
        await eventually(lambda: edge.feed.beginnings == 2)
        renewing = asyncio.create_task(edge.feed.keep_renewing())
        await eventually(lambda: edge.feed.has_caught_up)
        await end_tasks([renewing])
        assert sorted(edge.cache.list_keys()) == sorted(names[1:])
        assert {edge.version_of(slug) for slug in names[1:]} == {2}

    async def test_a_change_while_its_link_is_being_renewed_is_not_missed(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        read, has_read, go_on = edge.feed._read_links, asyncio.Event(), asyncio.Event()

        async def read_slowly(keys: list[str]) -> list[tuple[bytes | None, bool]]:
            found = await read(keys)
            has_read.set()
            await go_on.wait()
            return found

        edge.feed._read_links = read_slowly  # type: ignore[method-assign]  # until it has ended
        edge.feed.renew(["summer"])
        renewing = asyncio.create_task(edge.feed.keep_renewing())
        await has_read.wait()
        await publish(redis, make_link(version=2))
        await edge.has_read_changes(redis)
        go_on.set()
        await eventually(lambda: edge.feed.has_caught_up)
        await end_tasks([renewing])
        edge.feed._read_links = read  # type: ignore[method-assign]
        assert "summer" not in edge.cache
        link = await edge.feed.load("summer")
        assert link is not None
        assert link.record.version == 2

    async def test_what_could_not_be_read_stays_to_be_renewed(
        self, edge: RunningFeed, redis: Redis, valkey_server: TestServer
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        valkey_server.kill()
        edge.feed.renew(["summer"])
        renewing = asyncio.create_task(edge.feed.keep_renewing())
        await eventually(lambda: not edge.feed.is_ready)
        assert not edge.feed.has_caught_up
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await publish(redis, make_link(version=2))
        await declare_ready(redis, "2")
        await eventually(lambda: edge.version_of("summer") == 2)
        await end_tasks([renewing])

    async def test_a_full_cache_ends_it(self, edge: RunningFeed, redis: Redis) -> None:
        names = [f"slug-{number}" for number in range(1500)]
        await publish(redis, *(make_link(slug=slug) for slug in names))
        await declare_ready(redis)
        await edge.ready()
        edge.feed.renew(names)
        renewing = asyncio.create_task(edge.feed.keep_renewing())
        await eventually(lambda: edge.feed.has_caught_up)
        await end_tasks([renewing])
        assert len(edge.cache) == 1000
