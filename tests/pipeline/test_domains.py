"""Custom domains on their way from Postgres to Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from control_plane.core.lua_scripts import load_lua
from control_plane.pipeline import publisher
from edge.contract import redis_keys
from edge.contract.domain_record import NOBODY, DomainRecord, decode_domain, encode_domain
from edge.contract.link_record import decode_link
from tests.builders import LinkRow, insert_link, insert_user, remove_domain, set_domain
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from edge.contract.redis_shards import RedisShards

    RunPublisher: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

ACME = "go.acme.example"


@pytest.fixture
async def tenant(pool: Pool) -> tuple[UUID, UUID]:
    """A tenant and its user."""
    async with pool.acquire() as db:
        return await insert_user(db)


@pytest.fixture
async def rival(pool: Pool) -> UUID:
    """Another tenant."""
    async with pool.acquire() as db:
        return (await insert_user(db))[0]


async def read_domains(redis: Redis) -> dict[str, DomainRecord]:
    values: Any = await redis.hgetall(redis_keys.domains())
    return {domain.decode(): decode_domain(value) for domain, value in values.items()}


async def read_changes(redis: Redis) -> list[str]:
    entries: Any = await redis.xrange(redis_keys.link_changes())
    return [fields[b"s"].decode() for _entry_id, fields in entries]


async def read_owner(redis: Redis, domain: str = ACME) -> bytes | None:
    record = (await read_domains(redis)).get(domain)
    return record.tenant_id if record else None


async def publish_all(pool: Pool, shards: RedisShards) -> int:
    async with pool.acquire() as db:
        return await publisher.publish_domains(db, shards)


class TestOwners:
    async def test_whoever_has_proven_a_domain_has_it(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
        assert await publish_all(pool, shards) == 1
        assert await read_owner(redis) == tenant[0].bytes
        assert await read_changes(redis) == [f"{ACME}/"]
        assert await publish_all(pool, shards) == 0

    async def test_a_claim_that_was_never_proven_stays_unknown(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME, "pending")
            await publish_all(pool, shards)
            await remove_domain(db, tenant[0], ACME)
        await publish_all(pool, shards)
        assert await read_domains(redis) == {}
        assert await pool.fetchval("SELECT count(*) FROM domain_outbox") == 0

    @pytest.mark.parametrize("was_published", [True, False])
    async def test_one_that_has_lapsed_is_nobodys_and_stays_known(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID], was_published: bool
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            if was_published:
                await publish_all(pool, shards)
            await set_domain(db, tenant[0], ACME, "lapsed")
        await publish_all(pool, shards)
        assert await read_owner(redis) == NOBODY

    async def test_one_that_was_removed_is_nobodys_and_stays_known(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await publish_all(pool, shards)
            await remove_domain(db, tenant[0], ACME)
        await publish_all(pool, shards)
        assert await read_owner(redis) == NOBODY

    async def test_its_links_keep_a_domain_known(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await insert_link(db, LinkRow(*tenant, slug="shoes", domain=ACME))
            await remove_domain(db, tenant[0], ACME)
        await publish_all(pool, shards)
        assert await read_owner(redis) == NOBODY

    async def test_another_tenant_takes_it_over(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID], rival: UUID
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await publish_all(pool, shards)
            await set_domain(db, rival, ACME, "pending")
            await publish_all(pool, shards)
            assert await read_owner(redis) == tenant[0].bytes
            await set_domain(db, tenant[0], ACME, "lapsed")
            await set_domain(db, rival, ACME)
        await publish_all(pool, shards)
        assert await read_owner(redis) == rival.bytes

    async def test_a_change_reaches_redis_by_itself(
        self, pool: Pool, redis: Redis, tenant: tuple[UUID, UUID], run_publisher: RunPublisher
    ) -> None:
        async def has_arrived() -> bool:
            return await read_owner(redis) == tenant[0].bytes

        async with run_publisher(), pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await eventually(has_arrived)


class TestOrder:
    async def test_every_publication_has_a_higher_version(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        versions = []
        for status in ("verified", "lapsed", "verified"):
            async with pool.acquire() as db:
                await set_domain(db, tenant[0], ACME, status)
            await publish_all(pool, shards)
            versions.append((await read_domains(redis))[ACME].version)
        assert versions == sorted(set(versions))

    async def test_a_publication_that_fails_gives_its_version_to_no_other(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            transaction = db.transaction()
            await transaction.start()
            await publisher.publish_domains(db, shards)
            await transaction.rollback()
            first = (await read_domains(redis))[ACME].version
            await set_domain(db, tenant[0], ACME, "lapsed")
        assert await publish_all(pool, shards) == 2
        later = (await read_domains(redis))[ACME]
        assert later.tenant_id == NOBODY
        assert later.version > first

    async def test_while_one_publisher_is_at_it_another_waits_and_sees_what_came_after(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db, pool.acquire() as other:
            await set_domain(db, tenant[0], ACME)
            async with db.transaction():
                await publisher.publish_domains(db, shards)
                await set_domain(other, tenant[0], ACME, "lapsed")
                waiting = asyncio.create_task(publish_all(pool, shards))
                await eventually(lambda: self.waits(other))
                assert await read_owner(redis) == tenant[0].bytes
            assert await waiting == 1
        assert await read_owner(redis) == NOBODY

    async def test_a_resync_waits_for_a_publication_that_is_not_committed(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db, pool.acquire() as other:
            await set_domain(db, tenant[0], ACME)
            await publisher.publish_domains(db, shards)
            await set_domain(db, tenant[0], ACME, "lapsed")
            async with db.transaction():
                await publisher.publish_domains(db, shards)
                await redis.flushdb()
                running = asyncio.create_task(publisher.resync(pool, shards))
                await eventually(lambda: self.waits(other))
            await running
        assert await read_owner(redis) == NOBODY

    async def waits(self, db: object) -> bool:
        """Tell whether somebody waits for the lock of domains."""
        waiting: bool = await db.fetchval(  # type: ignore[attr-defined]  # a connection
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        )
        return waiting


class TestResync:
    async def test_domains_come_back_whoever_has_them(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID], rival: UUID
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await set_domain(db, rival, "globex.example")
            await publish_all(pool, shards)
            await remove_domain(db, rival, "globex.example")
            await publish_all(pool, shards)
        before = await read_domains(redis)
        assert before.keys() == {ACME, "globex.example"}
        await redis.flushdb()
        await publisher.resync(pool, shards)
        assert await read_domains(redis) == before

    async def test_they_are_there_before_any_marker(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, tenant[0], ACME)
            await publish_all(pool, shards)
        await redis.flushdb()
        async with pool.acquire() as blocker:
            await insert_link(blocker, LinkRow(*tenant, slug="shoes"))
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE variants IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(publisher.resync(pool, shards))
                await eventually(lambda: redis.exists(redis_keys.domains()))
                assert not await publisher.is_redis_complete(shards)
                async with pool.acquire() as db:  # and what changes meanwhile is not held up
                    await set_domain(db, tenant[0], ACME, "lapsed")
                    assert await publisher.publish_domains(db, shards) == 1
            await running
        assert await read_owner(redis) == NOBODY

    async def test_links_lie_under_domain_and_slug(
        self, pool: Pool, redis: Redis, shards: RedisShards, tenant: tuple[UUID, UUID]
    ) -> None:
        async with pool.acquire() as db:
            await insert_link(db, LinkRow(*tenant, slug="shoes"))
            await insert_link(db, LinkRow(*tenant, slug="shoes", domain=ACME))
            await publisher.publish_changes(db, shards)
        await self.check_links(redis)
        assert sorted(await read_changes(redis)) == [f"{ACME}/shoes", "shoes"]
        await redis.flushdb()
        assert await publisher.resync(pool, shards) == 2
        await self.check_links(redis)

    async def check_links(self, redis: Redis) -> None:
        for key, domain in (("shoes", ""), (f"{ACME}/shoes", ACME)):
            value = await redis.get(redis_keys.link(key))
            assert value is not None
            assert decode_link(value).domain == domain  # type: ignore[arg-type]  # redis-py's union


class TestScript:
    async def publish(self, redis: Redis, version: int, value: bytes | None = None) -> int:
        record = value or encode_domain(DomainRecord(ACME, version, NOBODY))
        answer: int = await redis.eval(load_lua("publish_field"), 1, "domains", ACME, version, record)
        return answer

    async def test_an_older_version_changes_nothing(self, redis: Redis) -> None:
        assert await self.publish(redis, 7) == 1
        assert await self.publish(redis, 6) == 0
        assert decode_domain(await redis.hget("domains", ACME)).version == 7  # type: ignore[arg-type]
        assert await self.publish(redis, 7) == 1
        assert await self.publish(redis, 8) == 1
        assert decode_domain(await redis.hget("domains", ACME)).version == 8  # type: ignore[arg-type]

    async def test_what_has_no_version_is_older_than_any(self, redis: Redis) -> None:
        await redis.hset("domains", ACME, "garbage")
        assert await self.publish(redis, 1) == 1

    async def test_missing_arguments_are_refused(self, redis: Redis) -> None:
        with pytest.raises(Exception, match="publish_field takes 3 arguments"):
            await redis.eval(load_lua("publish_field"), 1, "domains", ACME, 1)
        with pytest.raises(Exception, match="must be the version"):
            await redis.eval(load_lua("publish_field"), 1, "domains", ACME, "x", "y")
