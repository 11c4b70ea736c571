from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from edge.link_feed import LinksUnavailableError
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.feeds import RunningFeed, encode, running_feed, slow_load
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from edge.link_cache import CachedLink
    from tests.conftest import TestServer


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningFeed]:
    async with running_feed(redis_url) as running:
        yield running


class TestChanges:
    async def test_they_reach_the_cache_within_a_second(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        for version in range(2, 6):
            await publish(redis, make_link(version=version))
            await edge.becomes("summer", version)

    async def test_a_slug_that_was_unknown_is_found_when_it_appears(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await declare_ready(redis)
        await edge.ready()
        assert await edge.feed.load("summer") is None
        await publish(redis, make_link())
        await edge.forgets_unknown("summer")
        assert await edge.feed.load("summer") is not None

    async def test_links_that_are_not_cached_are_not_fetched(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        await publish(redis, make_link(slug="other", version=9), make_link(version=2))
        await edge.becomes("summer", 2)
        assert "other" not in edge.cache

    async def test_a_change_while_its_link_is_being_loaded_is_not_missed(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        async with slow_load(edge, "summer"):
            await publish(redis, make_link(version=2))
            await edge.has_read_changes(redis)
        assert edge.version_of("summer") == 2

    async def test_a_link_made_while_it_is_being_looked_up_does_not_stay_unknown(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await declare_ready(redis)
        await edge.ready()
        async with slow_load(edge, "summer"):
            await publish(redis, make_link())
            await edge.has_read_changes(redis)
        assert edge.version_of("summer") == 1
        assert not edge.is_unknown("summer")

    async def test_a_stale_load_does_not_outlive_a_new_epoch(self, edge: RunningFeed, redis: Redis) -> None:
        """The load reads, the link changes, and the feed begins anew behind that change."""
        await publish(redis, make_link())
        await declare_ready(redis, "1")
        await edge.ready()
        async with slow_load(edge, "summer"):
            await redis.set(redis_keys.link("summer"), encode(version=2))
            await declare_ready(redis, "2")
            await eventually(lambda: edge.feed.beginnings == 2)
        assert edge.version_of("summer") == 2

    async def test_an_unreadable_change_keeps_what_is_cached(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        await redis.set(redis_keys.link("summer"), b"0" * 16 + b"\xa1\xff")
        await redis.xadd(redis_keys.link_changes(), {"s": "summer", "v": 2})
        await publish(redis, make_link(slug="other"))
        await asyncio.sleep(0)
        await publish(redis, make_link(version=3))
        await edge.becomes("summer", 3)


class TestBeginningAnew:
    async def test_a_new_epoch_empties_the_cache(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis, "1")
        await edge.ready()
        await edge.feed.load("summer")
        await redis.set(redis_keys.link("summer"), encode(version=2))  # as a resync does: unannounced
        await declare_ready(redis, "2")
        await eventually(lambda: "summer" not in edge.cache)
        await edge.ready()
        link = await edge.feed.load("summer")
        assert link is not None
        assert link.record.version == 2

    async def test_an_emptied_redis_keeps_cached_links_and_knows_no_unknown_ones(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis, "1")
        await edge.ready()
        await edge.feed.load("summer")
        await redis.flushdb()
        with pytest.raises(LinksUnavailableError):
            await edge.feed.load("winter")
        await eventually(lambda: not edge.feed.is_ready)
        assert "summer" in edge.cache
        await publish(redis, make_link(version=2))
        await declare_ready(redis, "2")
        await edge.ready()
        assert await edge.feed.load("winter") is None

    async def test_a_feed_whose_changes_were_trimmed_before_it_read_them_empties_the_cache(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        await redis.set(redis_keys.link("summer"), encode(version=2))
        async with redis.pipeline(transaction=True) as pipe:  # in one step, so that the feed reads the last
            for number in range(300):
                pipe.xadd(redis_keys.link_changes(), {"s": f"other-{number}", "v": 1}, maxlen=1)
            await pipe.execute()
        await eventually(lambda: "summer" not in edge.cache)
        link = await edge.feed.load("summer")
        assert link is not None
        assert link.record.version == 2

    async def test_trimming_what_was_read_empties_nothing(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        cached = edge.cache.get("summer")
        for version in range(2, 40):
            await publish(redis, make_link(slug="other", version=version))
        await publish(redis, make_link(slug="last"), make_link(version=2))
        await edge.becomes("summer", 2)
        await redis.xtrim(redis_keys.link_changes(), maxlen=1, approximate=False)
        await publish(redis, make_link(version=3))
        await edge.becomes("summer", 3)
        assert cached is not None
        assert edge.feed.is_ready


class TestRedisAway:
    async def test_cached_links_go_on_and_a_restart_with_a_resync_renews_them(
        self, edge: RunningFeed, redis: Redis, valkey_server: TestServer
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        valkey_server.kill()
        await eventually(lambda: not edge.feed.is_ready)
        assert edge.version_of("summer") == 1
        with pytest.raises(LinksUnavailableError):
            await edge.feed.load("winter")
        valkey_server.start()
        with pytest.raises(LinksUnavailableError):
            await edge.feed.load("winter")
        assert edge.version_of("summer") == 1
        await redis.connection_pool.disconnect()
        await publish(redis, make_link(version=2))
        await declare_ready(redis, "2")
        await edge.ready()
        link = await edge.feed.load("summer")
        assert link is not None
        assert link.record.version == 2
        assert await edge.feed.load("winter") is None

    async def test_a_redis_that_hangs_makes_links_unavailable_and_nothing_piles_up(
        self, edge: RunningFeed, redis: Redis, valkey_server: TestServer
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            loads = [edge.feed.load(f"slug-{number}") for number in range(200)]
            answers = await asyncio.wait_for(asyncio.gather(*loads, return_exceptions=True), 8)
            assert {type(answer) for answer in answers} == {LinksUnavailableError}
            assert edge.feed._loading == {}
            await eventually(lambda: not edge.feed.is_ready)
            assert edge.version_of("summer") == 1
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        await edge.ready()
        assert await edge.feed.load("winter") is None
        await publish(redis, make_link(version=2))
        await edge.becomes("summer", 2)

    async def test_changes_made_while_the_connection_was_broken_are_read(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        cached: CachedLink | None = await edge.feed.load("summer")
        for version in range(2, 12):
            await redis.client_kill_filter(_type="normal", skipme=True)
            await publish(redis, make_link(version=version))
        await edge.becomes("summer", 11, timeout_s=3)
        assert cached is not None
