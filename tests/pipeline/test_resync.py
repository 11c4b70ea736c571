from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest
from structlog.testing import capture_logs

from control_plane.core.lua_scripts import load_lua
from control_plane.pipeline import publisher
from control_plane.pipeline.link_records import FIRST_KEY
from edge.contract import redis_keys
from edge.contract.link_record import decode_link
from tests.builders import LinkRow, insert_link, insert_many_links, insert_user, update_link
from tests.edge.factories import set_markers
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

    from control_plane.db.pool import Connection, Pool
    from edge.contract.redis_shards import RedisShards
    from tests.conftest import TestServer

    RunPublisher: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

LINKS = 2500
"""Three pages."""


async def count_records(redis: Redis) -> int:
    return sum([1 async for _ in redis.scan_iter(match=f"{redis_keys.PREFIX}:link:*", count=5000)])


async def read_version(redis: Redis, slug: str) -> int:
    value: bytes | None = await redis.get(redis_keys.link(slug))  # type: ignore[assignment]
    return decode_link(value).version if value else 0


async def insert_one_link(db: Connection, slug: str) -> LinkRow:
    tenant_id, user_id = await insert_user(db)
    link = LinkRow(tenant_id=tenant_id, user_id=user_id, slug=slug)
    await insert_link(db, link)
    return link


class TestResync:
    async def test_every_link_and_the_marker_are_written(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        async with pool.acquire() as db:
            await insert_many_links(db, LINKS)
            await insert_one_link(db, "of-another-tenant")
        assert not await publisher.is_redis_complete(shards)
        assert await publisher.resync(pool, shards) == LINKS + 1
        assert await publisher.is_redis_complete(shards)
        assert await count_records(redis) == LINKS + 1
        assert await redis.exists(redis_keys.links_resync(0)) == 0

    async def test_without_any_link_the_marker_is_set(self, pool: Pool, shards: RedisShards) -> None:
        assert await publisher.resync(pool, shards) == 0
        assert await publisher.is_redis_complete(shards)

    async def test_each_resync_has_an_epoch_of_its_own(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        await publisher.resync(pool, shards)
        first = await redis.get(redis_keys.links_ready(0))
        await publisher.resync(pool, shards)
        assert await redis.get(redis_keys.links_ready(0)) != first

    async def test_redis_emptied_meanwhile_makes_it_start_over(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        async with pool.acquire() as db:
            await insert_many_links(db, 10 * LINKS)
        with capture_logs() as logs:
            running = asyncio.create_task(publisher.resync(pool, shards))
            await eventually(lambda: redis.exists(redis_keys.link("bulk-1"), redis_keys.link("bulk-2")))
            assert not running.done()
            await redis.flushdb()
            await running
        assert [entry["event"] for entry in logs] == ["resync_restarted", "resync_finished"]
        assert await count_records(redis) == 10 * LINKS

    async def test_a_newer_version_published_meanwhile_stays(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        async with pool.acquire() as db:
            link = await insert_one_link(db, "shoes")
            page = await publisher._read_page(db, FIRST_KEY)
            assert page is not None
            await update_link(db, msgspec.structs.replace(link, version=7))
            await publisher.publish_changes(db, shards)
            await publisher._write_records(shards, page[1], announce=False)
        assert await read_version(redis, "shoes") == 7

    async def test_every_page_is_read_as_it_is_then(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        async with pool.acquire() as blocker:
            link = await insert_one_link(blocker, "shoes")
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE variants IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(publisher.resync(pool, shards))
                await eventually(lambda: redis.exists(redis_keys.links_resync(0)))
                await update_link(blocker, msgspec.structs.replace(link, version=7))
            await running
        assert await read_version(redis, "shoes") == 7

    async def test_the_marker_stays_while_a_whole_redis_is_resynced(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        await publisher.resync(pool, shards)
        async with pool.acquire() as blocker:
            await insert_one_link(blocker, "shoes")
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE variants IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(publisher.resync(pool, shards))
                await eventually(lambda: redis.exists(redis_keys.links_resync(0)))
                assert await publisher.is_redis_complete(shards)
            await running

    async def test_two_at_once_take_turns(self, pool: Pool, shards: RedisShards) -> None:
        async with pool.acquire() as db:
            await insert_many_links(db, LINKS)
        with capture_logs() as logs:
            counts = await asyncio.gather(publisher.resync(pool, shards), publisher.resync(pool, shards))
        assert list(counts) == [LINKS, LINKS]
        assert [entry["event"] for entry in logs] == ["resync_finished", "resync_finished"]
        assert await publisher.is_redis_complete(shards)


class TestFinishScript:
    async def finish(self, redis: Redis, token: str) -> int:
        answer: int = await redis.eval(load_lua("finish_resync"), 2, "token", "marker", token, "run:epoch")
        return answer

    async def test_the_right_token_sets_the_marker_once(self, redis: Redis) -> None:
        await redis.set("token", "mine")
        assert await self.finish(redis, "mine") == 1
        assert await redis.get("marker") == b"run:epoch"
        assert await redis.exists("token") == 0

    @pytest.mark.parametrize("present", [None, "another"])
    async def test_another_token_or_none_changes_nothing(self, redis: Redis, present: str | None) -> None:
        if present:
            await redis.set("token", present)
        assert await self.finish(redis, "mine") == 0
        assert await redis.exists("marker") == 0

    async def test_missing_arguments_are_refused(self, redis: Redis) -> None:
        with pytest.raises(Exception, match="finish_resync takes 2 arguments"):
            await redis.eval(load_lua("finish_resync"), 2, "token", "marker", "mine")


class TestByItself:
    async def test_an_emptied_redis_is_refilled(
        self, pool: Pool, redis: Redis, shards: RedisShards, run_publisher: RunPublisher
    ) -> None:
        async with pool.acquire() as db:
            await insert_many_links(db, LINKS)
        async with run_publisher():
            await eventually(lambda: publisher.is_redis_complete(shards))
            await redis.flushdb()
            await eventually(lambda: publisher.is_redis_complete(shards))
        assert await count_records(redis) == LINKS

    async def test_a_restarted_redis_is_refilled(
        self,
        pool: Pool,
        redis: Redis,
        shards: RedisShards,
        valkey_server: TestServer,
        run_publisher: RunPublisher,
    ) -> None:
        async with pool.acquire() as db:
            await insert_one_link(db, "shoes")
        async with run_publisher():
            await eventually(lambda: publisher.is_redis_complete(shards))
            valkey_server.kill()
            valkey_server.start()
            await redis.connection_pool.disconnect()
            await eventually(lambda: shards.try_twice(lambda: publisher.is_redis_complete(shards)))
        assert await read_version(redis, "shoes") == 1

    async def test_the_marker_of_another_server_is_not_believed(
        self, pool: Pool, redis: Redis, shards: RedisShards, run_publisher: RunPublisher
    ) -> None:
        async with pool.acquire() as db:
            await insert_one_link(db, "shoes")
        await set_markers(redis, f"{'0' * 40}:epoch")
        async with run_publisher():
            await eventually(lambda: publisher.is_redis_complete(shards))
        assert await read_version(redis, "shoes") == 1

    async def test_the_marker_of_another_server_goes_before_the_links_come(
        self, pool: Pool, redis: Redis, shards: RedisShards
    ) -> None:
        await set_markers(redis, f"{'0' * 40}:epoch")
        async with pool.acquire() as blocker:
            await insert_one_link(blocker, "shoes")
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE variants IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(publisher.resync(pool, shards))
                await eventually(lambda: is_absent(redis, redis_keys.links_ready(0)))
            await running

    async def test_who_comes_second_leaves_it_alone(self, pool: Pool, shards: RedisShards) -> None:
        async with pool.acquire() as db:
            await insert_many_links(db, LINKS)
        with capture_logs() as logs:
            await asyncio.gather(publisher._refill(pool, shards), publisher._refill(pool, shards))
            await publisher._refill(pool, shards)
        assert [entry["event"] for entry in logs] == ["resync_finished"]
        assert await publisher.is_redis_complete(shards)

    async def test_stop_cuts_a_resync_short(
        self, pool: Pool, redis: Redis, shards: RedisShards, run_publisher: RunPublisher
    ) -> None:
        async with pool.acquire() as blocker, blocker.transaction(), run_publisher():
            await eventually(lambda: redis.exists(redis_keys.links_ready(0)))
            await blocker.execute("LOCK TABLE links IN ACCESS EXCLUSIVE MODE")
            await redis.flushdb()
            await eventually(lambda: redis.exists(redis_keys.links_resync(0)))
        assert not await publisher.is_redis_complete(shards)


async def is_absent(redis: Redis, key: str) -> bool:
    return await redis.exists(key) == 0
