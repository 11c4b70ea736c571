from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import msgspec
import pytest

from control_plane.core.ids import new_id
from control_plane.core.lua_scripts import load_lua
from control_plane.pipeline import publisher
from control_plane.pipeline.link_records import encode_destination
from control_plane.settings import Settings
from edge.contract import redis_keys
from edge.contract.link_record import LinkRecord, LinkState, Stickiness, Variant, decode_link, encode_link
from tests.builders import LONG_AGO, LinkRow, VariantRow, insert_link, insert_user, update_link
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from edge.contract.redis_shards import RedisShards
    from tests.conftest import TestServer

    RunPublisher: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

replace = msgspec.structs.replace


@pytest.fixture
async def link(pool: Pool) -> LinkRow:
    async with pool.acquire() as db:
        tenant_id, user_id = await insert_user(db)
    return LinkRow(tenant_id=tenant_id, user_id=user_id, slug="shoes")


async def read_record(redis: Redis, slug: str) -> LinkRecord | None:
    value: bytes | None = await redis.get(redis_keys.link(slug))  # type: ignore[assignment]
    return decode_link(value) if value else None


async def await_version(redis: Redis, slug: str, version: int) -> LinkRecord:
    async def has_version() -> LinkRecord | None:
        record = await read_record(redis, slug)
        return record if record and record.version == version else None

    found = await eventually(has_version)
    assert found is not None
    return found


async def is_drained(pool: Pool) -> bool:
    return await count_outbox(pool) == 0


async def start_publisher(settings: Settings) -> asyncio.subprocess.Process:
    program = (
        "import asyncio; from control_plane import settings; from control_plane.pipeline import publisher;"
        "asyncio.run(publisher.run(settings.read_settings(), asyncio.Event()))"
    )
    environment = {
        **os.environ,
        "SWITCHYARD_DATABASE_URL": settings.database_url,
        "SWITCHYARD_REDIS_URL": settings.redis_url,
        "SWITCHYARD_JWT_SECRET": settings.jwt_secret,
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)


async def count_outbox(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM link_outbox")
    return count


class TestRecord:
    async def test_a_new_link_arrives_field_by_field(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        async with run_publisher(), pool.acquire() as db:
            await insert_link(db, link)
            record = await await_version(redis, "shoes", 1)
        a, b = link.variants
        assert record == LinkRecord(
            tenant_id=link.tenant_id.bytes,
            link_id=link.id.bytes,
            slug="shoes",
            version=1,
            state=LinkState.ACTIVE,
            variants=(
                Variant(a.id.bytes, "a", "https://a.example/", 50),
                Variant(b.id.bytes, "b", "https://b.example/", 50),
            ),
            geo_rules={},
            geo_default=None,
            winner=None,
            stickiness=Stickiness.COOKIE,
            forward_query=True,
        )

    async def test_geo_rules_become_indexes(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        geo = replace(link, routing_type="geo", geo_rules={"US": "b", "BR": "b", "DE": "a", "default": "a"})
        async with run_publisher(), pool.acquire() as db:
            await insert_link(db, geo)
            record = await await_version(redis, "shoes", 1)
        assert record.geo_rules == {"US": 1, "BR": 1, "DE": 0}
        assert record.geo_default == 0

    async def test_a_patch_replaces_variants_and_declares_a_winner(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        a, b = link.variants
        c = VariantRow("c", "https://c.example/?c={click_id}", 70, is_winner=True)
        patched = replace(
            link,
            version=2,
            variants=(replace(b, weight=30), c),
            stickiness="fingerprint",
            forward_query=False,
        )
        async with run_publisher(), pool.acquire() as db:
            await insert_link(db, link)
            await await_version(redis, "shoes", 1)
            await update_link(db, patched)
            record = await await_version(redis, "shoes", 2)
        assert a.id.bytes not in {variant.id for variant in record.variants}
        assert record.variants == (
            Variant(b.id.bytes, "b", "https://b.example/", 30),
            Variant(c.id.bytes, "c", "https://c.example/?c={click_id}", 70),
        )
        assert record.winner == 1
        assert record.stickiness is Stickiness.FINGERPRINT
        assert record.forward_query is False

    @pytest.mark.parametrize(
        "case", [({"is_active": False}, LinkState.INACTIVE), ({"deleted_at": LONG_AGO}, LinkState.DELETED)]
    )
    async def test_a_switched_off_or_deleted_link_says_so(
        self,
        pool: Pool,
        redis: Redis,
        shards: RedisShards,
        link: LinkRow,
        case: tuple[dict[str, object], LinkState],
    ) -> None:
        change, state = case
        async with pool.acquire() as db:
            await insert_link(db, link)
            await update_link(db, replace(link, version=2, **change))
            await publisher.publish_changes(db, shards)
        record = await read_record(redis, "shoes")
        assert record is not None
        assert record.state is state

    async def test_geo_rules_of_a_deleted_link_without_variants_are_left_out(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        gone = replace(
            link,
            routing_type="geo",
            geo_rules={"US": "a", "default": "b"},
            deleted_at=LONG_AGO,
            variants=(),
        )
        async with run_publisher(), pool.acquire() as db:
            await insert_link(db, gone)
            record = await await_version(redis, "shoes", 1)
        assert (record.variants, record.geo_rules, record.geo_default) == ((), {}, None)


class TestEncodeDestination:
    @pytest.mark.parametrize(
        ("url", "encoded"),
        [
            ("https://a.example/x?y={click_id}&z=%C3%BC", "https://a.example/x?y={click_id}&z=%C3%BC"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://straße.example:8443/", "https://xn--strae-oqa.example:8443/"),
            ("http://日本語。jp", "http://xn--wgv71a119e.jp"),
            ("https://a.example/für/{country}?q=ü#ä", "https://a.example/f%C3%BCr/{country}?q=%C3%BC#%C3%A4"),
            ("https://a.example/%20ü", "https://a.example/%20%C3%BC"),
            ("https://ü:p@a.example/", "https://%C3%BC:p@a.example/"),
            ("https://{country}.bücher.example/", "https://{country}.xn--bcher-kva.example/"),
            ("https://[::1]:80/ü", "https://[::1]:80/%C3%BC"),
            ("https://a.example/a b\r\nSet-Cookie: x", "https://a.example/a%20b%0D%0ASet-Cookie:%20x"),
            ("https://-ü-.example/", "https://-%C3%BC-.example/"),
            ("mailto:ü@a.example", "mailto:%C3%BC@a.example"),
        ],
    )
    def test_gives_visible_ascii(self, url: str, encoded: str) -> None:
        assert encode_destination(url) == encoded

    def test_leaves_its_own_result_alone(self) -> None:
        once = encode_destination("https://bücher.example/ä%20{click_id}?q=日本")
        assert encode_destination(once) == once


class TestPublishScript:
    @pytest.fixture
    def record(self) -> LinkRecord:
        return LinkRecord(
            b"t" * 16, b"l" * 16, "s", 9, LinkState.ACTIVE, (), {}, None, None, Stickiness.NONE, False
        )

    async def publish(self, redis: Redis, record: LinkRecord) -> int:
        script = load_lua("publish_link")
        answer: int = await redis.eval(script, 1, "k", record.version, encode_link(record))
        return answer

    async def test_an_older_version_is_refused(self, redis: Redis, record: LinkRecord) -> None:
        assert await self.publish(redis, record) == 1
        assert await self.publish(redis, replace(record, version=8, slug="old")) == 0
        assert await redis.get("k") == encode_link(record)

    async def test_versions_compare_as_numbers(self, redis: Redis, record: LinkRecord) -> None:
        assert await self.publish(redis, record) == 1
        assert await self.publish(redis, replace(record, version=10)) == 1
        assert await redis.get("k") == encode_link(replace(record, version=10))

    async def test_the_same_version_repairs_the_value(self, redis: Redis, record: LinkRecord) -> None:
        await redis.set("k", b"0000000000000009garbage")
        assert await self.publish(redis, record) == 1
        assert await redis.get("k") == encode_link(record)

    async def test_a_value_without_a_version_is_replaced(self, redis: Redis, record: LinkRecord) -> None:
        await redis.set("k", b"garbage")
        assert await self.publish(redis, record) == 1
        assert await redis.get("k") == encode_link(record)

    @pytest.mark.parametrize(
        "arguments", [(1, "k", 1), (1, "k", 1, "v", "x"), (0, 1, "v"), (1, "k", "x", "v")]
    )
    async def test_wrong_arguments_change_nothing(self, redis: Redis, arguments: tuple[object, ...]) -> None:
        numkeys, *rest = arguments
        with pytest.raises(Exception, match=r"publish_link takes|must be the version"):
            await redis.eval(load_lua("publish_link"), numkeys, *rest)  # type: ignore[arg-type]
        assert await redis.exists("k") == 0


class TestOutbox:
    async def test_a_change_is_announced_after_its_record(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        async with run_publisher(), pool.acquire() as db:
            await insert_link(db, link)
            await eventually(lambda: redis.xlen(redis_keys.link_changes()))
            assert await read_record(redis, "shoes") is not None
        changes = await redis.xrange(redis_keys.link_changes()) or []
        assert [fields for _entry_id, fields in changes] == [{b"s": b"shoes", b"v": b"1"}]

    async def test_many_changes_of_one_link_are_one_record_and_no_row_stays(
        self, pool: Pool, redis: Redis, shards: RedisShards, link: LinkRow
    ) -> None:
        async with pool.acquire() as db:
            await insert_link(db, link)
            for version in range(2, 6):
                await update_link(db, replace(link, version=version))
            assert await publisher.publish_changes(db, shards) == 5
        assert await redis.xlen(redis_keys.link_changes()) == 1
        assert await count_outbox(pool) == 0
        assert (await await_version(redis, "shoes", 5)).version == 5

    async def test_a_change_without_its_link_is_let_go(
        self, pool: Pool, shards: RedisShards, link: LinkRow
    ) -> None:
        await pool.execute(
            "INSERT INTO link_outbox (tenant_id, link_id) VALUES ($1, $2)", link.tenant_id, link.id
        )
        async with pool.acquire() as db:
            assert await publisher.publish_changes(db, shards) == 1
        assert await count_outbox(pool) == 0

    async def test_more_than_a_batch_is_drained(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        async with pool.acquire() as db:
            await insert_link(db, link)
        await pool.execute(
            "INSERT INTO link_outbox (tenant_id, link_id) SELECT $1, $2 FROM generate_series(1, 1200)",
            link.tenant_id,
            link.id,
        )
        async with run_publisher():
            await eventually(lambda: is_drained(pool))
        assert await read_record(redis, "shoes") is not None

    async def test_rows_stay_when_redis_refuses(
        self, pool: Pool, redis: Redis, shards: RedisShards, link: LinkRow
    ) -> None:
        await redis.set(redis_keys.link_changes(), "not a stream")
        async with pool.acquire() as db:
            await insert_link(db, link)
            with pytest.raises(Exception, match="WRONGTYPE"):
                await publisher.publish_changes(db, shards)
            assert await count_outbox(pool) == 1
            await redis.delete(redis_keys.link_changes())
            assert await publisher.publish_changes(db, shards) == 1
        assert await count_outbox(pool) == 0

    async def test_what_another_publisher_has_claimed_is_left_to_it(
        self, pool: Pool, shards: RedisShards, link: LinkRow
    ) -> None:
        async with pool.acquire() as db, pool.acquire() as other:
            await insert_link(db, link)
            async with other.transaction():
                claimed = [row async for row in publisher._queries.claim_changes(other, batch_size=9)]
                assert len(claimed) == 1
                assert await publisher.publish_changes(db, shards) == 0
            assert await publisher.publish_changes(db, shards) == 1

    async def test_two_publishers_share_the_work(
        self, pool: Pool, redis: Redis, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        links = [replace(link, slug=f"s{number}", id=new_id()) for number in range(40)]
        async with run_publisher(), run_publisher(), pool.acquire() as db:
            for each in links:
                await insert_link(db, each)
            for each in links:
                await update_link(db, replace(each, version=2))
            await eventually(lambda: is_drained(pool))
        for each in links:
            await await_version(redis, each.slug, 2)


class TestFailures:
    async def test_a_crash_between_redis_and_commit_repeats(
        self, pool: Pool, redis: Redis, shards: RedisShards, link: LinkRow, run_publisher: RunPublisher
    ) -> None:
        await pool.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'crash'; END$$;"
            "CREATE TRIGGER crash BEFORE DELETE ON link_outbox EXECUTE FUNCTION fail()"
        )
        async with pool.acquire() as db:
            await insert_link(db, link)
            with pytest.raises(asyncpg.RaiseError, match="crash"):
                await publisher.publish_changes(db, shards)
            assert await count_outbox(pool) == 1
            await update_link(db, replace(link, version=2))
            await db.execute("DROP TRIGGER crash ON link_outbox")
        async with run_publisher():
            await eventually(lambda: is_drained(pool))
        await await_version(redis, "shoes", 2)

    async def test_killed_again_and_again_it_still_publishes_everything(
        self, pool: Pool, redis: Redis, link: LinkRow, settings: Settings, run_publisher: RunPublisher
    ) -> None:
        links = [replace(link, slug=f"s{number}", id=new_id()) for number in range(60)]
        async with pool.acquire() as db:
            for number, each in enumerate(links):
                await insert_link(db, each)
                if number % 20 == 10:
                    process = await start_publisher(settings)
                    await await_version(redis, each.slug, 1)
                    for more in links[:number]:
                        await update_link(db, replace(more, version=2))
                    process.kill()
                    await process.wait()
            for each in links:
                await update_link(db, replace(each, version=3))
        async with run_publisher():
            await eventually(lambda: is_drained(pool))
        for each in links:
            await await_version(redis, each.slug, 3)

    async def test_redis_away_and_back(
        self, pool: Pool, link: LinkRow, valkey_server: TestServer, redis: Redis, run_publisher: RunPublisher
    ) -> None:
        async with run_publisher(), pool.acquire() as db:
            await eventually(lambda: redis.exists(redis_keys.links_ready(0)))
            valkey_server.kill()
            await insert_link(db, link)
            assert await count_outbox(pool) == 1
            valkey_server.start()
            await redis.connection_pool.disconnect()
            await await_version(redis, "shoes", 1)
            await eventually(lambda: is_drained(pool))

    async def test_postgres_away_at_the_start_and_later(
        self,
        pool: Pool,
        redis: Redis,
        link: LinkRow,
        postgres_server: TestServer,
        run_publisher: RunPublisher,
    ) -> None:
        postgres_server.stop()
        async with run_publisher():
            postgres_server.start()
            await pool.expire_connections()
            async with pool.acquire() as db:
                await insert_link(db, link)
            await await_version(redis, "shoes", 1)
            postgres_server.stop()
            postgres_server.start()
            await pool.expire_connections()
            async with pool.acquire() as db:
                await update_link(db, replace(link, version=2))
            await await_version(redis, "shoes", 2)

    async def test_stop_returns_while_both_servers_are_away(self) -> None:
        nowhere = Settings(
            database_url=f"postgresql://x@127.0.0.1:{free_port()}/x",
            redis_url=f"redis://127.0.0.1:{free_port()}",
            jwt_secret="s" * 32,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(publisher.run(nowhere, stop))
        done, _ = await asyncio.wait([running], timeout=0.3)
        assert not done
        stop.set()
        await asyncio.wait_for(running, 5)
