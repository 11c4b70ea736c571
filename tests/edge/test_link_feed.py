from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from edge.link_feed import LOADS_AT_ONCE, LinksUnavailableError
from tests.edge.factories import declare_ready, make_link, publish, set_markers
from tests.edge.feeds import A_SECOND, RunningFeed, encode, running_feed
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.conftest import TestServer


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningFeed]:
    async with running_feed(redis_url) as running:
        yield running


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
        looked_up = count_look_ups(edge)
        links = await asyncio.gather(*(edge.feed.load("summer") for _ in range(500)))
        assert len({id(link) for link in links}) == 1
        assert looked_up == {"summer": 1}

    async def test_a_flood_of_slugs_opens_few_connections(self, edge: RunningFeed, redis: Redis) -> None:
        await declare_ready(redis)
        await edge.ready()
        before = (await redis.info("stats"))["total_connections_received"]
        found = await asyncio.gather(*(edge.feed.load(f"slug-{number}") for number in range(LOADS_AT_ONCE)))
        assert found == [None] * LOADS_AT_ONCE
        assert (await redis.info("stats"))["total_connections_received"] - before <= 16

    async def test_slugs_that_are_asked_for_together_share_round_trips(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        for number in range(50):
            await publish(redis, make_link(slug=f"link-{number}"))
        await declare_ready(redis)
        await edge.ready()
        read, trips = edge.feed._read_links, list[int]()

        async def read_and_note(keys: list[str]) -> list[tuple[bytes | None, bool]]:
            trips.append(len(keys))
            return await read(keys)

        edge.feed._read_links = read_and_note  # type: ignore[method-assign]  # this test's own feed
        slugs = [f"link-{number}" for number in range(40)] + [f"none-{number}" for number in range(40)]
        found = await asyncio.gather(*map(edge.feed.load, slugs))
        assert [link.record.slug for link in found if link is not None] == slugs[:40]
        assert found[40:] == [None] * 40
        assert trips == [80]

    async def test_a_damaged_link_fails_alone(self, edge: RunningFeed, redis: Redis) -> None:
        await publish(redis, make_link())
        await redis.set(redis_keys.link("damaged"), b"0000000000000001?")
        await redis.lpush(redis_keys.link("stranger"), "not a string")
        await declare_ready(redis)
        await edge.ready()
        slugs = ["summer", "damaged", "stranger", "none"]
        link, damaged, stranger, none = await asyncio.gather(
            *map(edge.feed.load, slugs), return_exceptions=True
        )
        assert getattr(link, "record", None) == make_link()
        assert isinstance(damaged, LinksUnavailableError)
        assert isinstance(stranger, LinksUnavailableError)
        assert none is None

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


class TestBrokenConnections:
    async def test_a_look_up_whose_connection_breaks_is_made_again(
        self, edge: RunningFeed, redis: Redis, valkey_server: TestServer
    ) -> None:
        """It is cut off while the server, which stands still, has not answered yet."""
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        pool = edge.feed._redis._get_client("").connection_pool
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            load = asyncio.create_task(edge.feed.load("summer"))
            await eventually(lambda: pool._in_use_connections)
            await pool.disconnect(inuse_connections=True)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        link = await load
        assert link is not None
        assert link.record == make_link()

    async def test_connections_that_broke_while_idle_fail_no_look_up(
        self, edge: RunningFeed, redis: Redis, valkey_server: TestServer
    ) -> None:
        """The server dies with something unread, so that nothing shows it before they are used."""
        await declare_ready(redis)
        await edge.ready()
        await asyncio.gather(*(edge.feed.load(f"unknown-{number}") for number in range(LOADS_AT_ONCE)))
        idle = list(edge.feed._redis._get_client("").connection_pool._available_connections)
        assert len(idle) > 2  # more than a look-up makes attempts
        os.kill(valkey_server.pid, signal.SIGSTOP)
        for connection in idle:
            await connection.send_command("PING")
        valkey_server.kill()
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await publish(redis, make_link())
        await declare_ready(redis, "2")
        await eventually(lambda: edge.feed.beginnings == 2)
        assert await edge.feed.load("summer") is not None


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
        await redis.set(redis_keys.link("summer"), encode(version=1))  # as a resync does: unannounced
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


def count_look_ups(edge: RunningFeed) -> dict[str, int]:
    """Count how often each slug is looked up in Redis from now on."""
    looked_up: dict[str, int] = {}
    read = edge.feed._read_links

    async def read_and_count(keys: list[str]) -> list[tuple[bytes | None, bool]]:
        for slug in keys:
            looked_up[slug] = looked_up.get(slug, 0) + 1
        return await read(keys)

    edge.feed._read_links = read_and_count  # type: ignore[method-assign]  # this test's own feed
    return looked_up


async def ask(edge: RunningFeed, slug: str) -> None:
    """Ask for a link as the handler does."""
    if not edge.is_unknown(slug):
        assert await edge.feed.load(slug) is None
