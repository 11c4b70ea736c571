from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from edge.contract.link_record import encode_link
from edge.link_cache import LinkCache
from edge.link_feed import LOADS_AT_ONCE, LinkFeed, LinksUnavailableError
from edge.worker import end_tasks
from tests.edge.factories import declare_ready, make_link, publish, set_markers
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from edge.contract.link_record import LinkRecord
    from edge.link_cache import CachedLink
    from tests.conftest import TestServer

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
    fetch, has_read, go_on = edge.feed._fetch, asyncio.Event(), asyncio.Event()

    async def fetch_slowly(slug: str) -> LinkRecord | None:
        record = await fetch(slug)
        has_read.set()
        await go_on.wait()
        return record

    edge.feed._fetch = fetch_slowly  # type: ignore[method-assign]  # until the load has ended
    load = asyncio.create_task(edge.feed.load(slug))
    await has_read.wait()
    yield
    go_on.set()
    await load
    edge.feed._fetch = fetch  # type: ignore[method-assign]


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningFeed]:
    running = RunningFeed(redis_url)
    yield running
    assert not running.task.done()
    await running.stop()


class TestLoading:
    async def test_a_link_is_fetched_into_the_cache(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link(version=3))
        await declare_ready(redis)
        await edge.ready()
        link = await edge.feed.load("summer")
        assert link is not None
        assert link.record == make_link(version=3)
        assert edge.cache.get("summer") is link

    async def test_a_slug_without_a_link_is_unknown_and_remembered(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await declare_ready(redis)
        await edge.ready()
        assert await edge.feed.load("winter") is None
        assert edge.is_unknown("winter")

    async def test_while_redis_lacks_links_nothing_is_unknown(self, edge: RunningFeed, redis: Redis) -> None:
        with pytest.raises(LinksUnavailableError):
            await edge.feed.load("winter")
        assert not edge.is_unknown("winter")
        await publish(redis, make_link())
        assert await edge.feed.load("summer") is not None  # what is there is there
        assert not edge.feed.is_ready

    async def test_the_marker_of_another_server_is_not_believed(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        for marker in ("0" * 40 + ":1", "", ":", "x"):
            await set_markers(redis, marker)
            with pytest.raises(LinksUnavailableError):
                await edge.feed.load("winter")
        assert not edge.feed.is_ready
        await declare_ready(redis)
        await edge.ready()
        assert await edge.feed.load("winter") is None

    async def test_a_record_that_cannot_be_read_is_unavailable(self, edge: RunningFeed, redis: Redis) -> None:
        await declare_ready(redis)
        await edge.ready()
        for value in (b"", b"garbage", b"0" * 16 + b"\x9b", b"0" * 16 + b"\x9b\xa1\xff"):
            await redis.set(redis_keys.link("summer"), value)
            with pytest.raises(LinksUnavailableError):
                await edge.feed.load("summer")
        await publish(redis, make_link())
        assert await edge.feed.load("summer") is not None

    async def test_many_loads_of_one_slug_cost_one_look_up(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await redis.config_resetstat()
        links = await asyncio.gather(*(edge.feed.load("summer") for _ in range(500)))
        assert len({id(link) for link in links}) == 1
        assert (await _count_gets(redis)) < 10  # 3 for the look-up; the rest is the follower's

    async def test_a_flood_of_slugs_opens_few_connections(self, edge: RunningFeed, redis: Redis) -> None:
        await declare_ready(redis)
        await edge.ready()
        before = (await redis.info("stats"))["total_connections_received"]
        found = await asyncio.gather(*(edge.feed.load(f"slug-{number}") for number in range(LOADS_AT_ONCE)))
        assert found == [None] * LOADS_AT_ONCE
        assert (await redis.info("stats"))["total_connections_received"] - before <= 16

    async def test_past_the_bound_of_loads_links_are_unavailable(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await declare_ready(redis)
        await edge.ready()
        loads = [asyncio.create_task(edge.feed.load(f"slug-{number}")) for number in range(LOADS_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(LinksUnavailableError, match="too many"):
            await edge.feed.load("one-more")
        await asyncio.gather(*loads)
        assert await edge.feed.load("one-more") is None

    async def test_a_visitor_who_leaves_does_not_end_the_look_up_of_others(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        leaving, staying = (asyncio.create_task(edge.feed.load("summer")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying is not None


class TestFloods:
    async def test_an_unknown_slug_costs_one_look_up_however_often_it_is_asked_for(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await declare_ready(redis)
        await edge.ready()
        looked_up = count_look_ups(edge)
        for _ in range(20):
            await asyncio.gather(*(ask(edge, f"slug-{number}") for number in range(50) for _ in range(5)))
        assert looked_up == {f"slug-{number}": 1 for number in range(50)}

    async def test_while_redis_lacks_links_a_slug_costs_one_look_up_too(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        looked_up = count_look_ups(edge)
        for _ in range(20):
            with pytest.raises(LinksUnavailableError):
                await edge.feed.load("summer")
        assert looked_up == {"summer": 1}
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        assert await edge.feed.load("summer") is not None

    async def test_a_link_that_redis_lacked_is_looked_up_again_after_a_second(
        self, edge: RunningFeed, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(LinksUnavailableError):
            await edge.feed.load("summer")
        await redis.set(redis_keys.link("summer"), _encoded(version=1))  # as a resync does: unannounced
        with pytest.raises(LinksUnavailableError, match="a moment ago"):
            await edge.feed.load("summer")
        later = time.monotonic() + A_SECOND
        monkeypatch.setattr("edge.link_feed.time.monotonic", lambda: later)
        assert await edge.feed.load("summer") is not None

    async def test_a_flood_pushes_out_no_link_and_takes_bounded_room(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        await edge.feed.load("summer")
        for first in range(0, 20_000, LOADS_AT_ONCE):
            await asyncio.gather(
                *(edge.feed.load(f"x-{number}") for number in range(first, first + LOADS_AT_ONCE))
            )
        assert edge.version_of("summer") == 1
        assert len(edge.cache) == 1
        assert edge.is_unknown("x-0")
        assert edge.feed._loading == {}


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
        assert sorted(edge.cache.list_slugs()) == sorted(names[1:])
        assert {edge.version_of(slug) for slug in names[1:]} == {2}

    async def test_a_change_while_its_link_is_being_renewed_is_not_missed(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        read, has_read, go_on = edge.feed._read_links, asyncio.Event(), asyncio.Event()

        async def read_slowly(slugs: list[str]) -> tuple[list[bytes | None], bool]:
            values = await read(slugs)
            has_read.set()
            await go_on.wait()
            return values

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
            await redis.set(redis_keys.link("summer"), _encoded(version=2))
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
        await redis.set(redis_keys.link("summer"), _encoded(version=2))  # as a resync does: unannounced
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
        await redis.set(redis_keys.link("summer"), _encoded(version=2))
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


def _encoded(*, version: int) -> bytes:
    return encode_link(make_link(version=version))


def count_look_ups(edge: RunningFeed) -> dict[str, int]:
    """Count how often each slug is looked up in Redis from now on."""
    looked_up: dict[str, int] = {}
    fetch = edge.feed._fetch

    async def fetch_and_count(slug: str) -> LinkRecord | None:
        looked_up[slug] = looked_up.get(slug, 0) + 1
        return await fetch(slug)

    edge.feed._fetch = fetch_and_count  # type: ignore[method-assign]  # this test's own feed
    return looked_up


async def ask(edge: RunningFeed, slug: str) -> None:
    """Ask for a link as the handler does."""
    if not edge.is_unknown(slug):
        assert await edge.feed.load(slug) is None


async def _count_gets(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return int(stats["cmdstat_get"]["calls"])
