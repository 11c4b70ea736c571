from __future__ import annotations

import asyncio
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils
from xxhash import xxh3_64_intdigest

from control_plane.core.lua_scripts import load_lua
from control_plane.pipeline import flusher
from control_plane.settings import Settings
from edge.contract import redis_keys
from edge.contract.events import FRAME_HEADER, Chunk, Click, Reason, chunk_fields, encode_event
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from redis.asyncio import Redis

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
JOURNAL = "0" * 31 + "1"


def make_click(**changes: object) -> Click:
    facts: dict[str, object] = {
        "id": uuid_utils.uuid7().bytes,
        "tenant_id": bytes(15) + b"\1",
        "link_id": bytes(15) + b"\2",
        "variant_id": bytes(15) + b"\3",
        "link_version": 4,
        "reason": Reason.WEIGHT,
        "ip": "198.51.100.77",
        "country": "BR",
        "referrer": "https://News.example:8443/story?id=1",
        "user_agent": FIREFOX,
        "query": "utm_source=mail",
    }
    return Click(**facts | changes)  # type: ignore[arg-type]  # a test's own keywords


def frame(payload: bytes) -> bytes:
    return FRAME_HEADER.pack(len(payload), xxh3_64_intdigest(payload) & 0xFFFF_FFFF) + payload


def make_chunk(sequence: int, clicks: list[Click], journal_id: str = JOURNAL) -> Chunk:
    body = b"".join(frame(encode_event(click)) for click in clicks)
    return Chunk(journal_id, sequence, len(clicks), zlib.crc32(body), body)


async def ship(redis: Redis, *chunks: Chunk) -> None:
    for chunk in chunks:
        await redis.xadd(redis_keys.events(0), chunk_fields(chunk))  # type: ignore[arg-type]  # redis-py is invariant


class RunningFlusher:
    """A flusher in the background that can be stopped gently or cut off."""

    def __init__(self, settings: Settings) -> None:
        self._others = asyncio.all_tasks()
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(flusher.run(settings, self._stop))

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    async def kill(self) -> None:
        # Again and again, and each task by itself: in Python 3.11 `wait_for`, which redis-py uses,
        # can swallow a cancellation, and a task group hands it on only once.
        while not self._task.done():
            for task in asyncio.all_tasks() - self._others - {asyncio.current_task()}:
                task.cancel()
            await asyncio.wait([self._task], timeout=0.1)
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[RunningFlusher]:
    flusher_in_background = RunningFlusher(settings)
    yield flusher_in_background
    await flusher_in_background.kill()


async def count(pool: asyncpg.Pool, table: str = "clicks") -> int:
    total: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return total


async def landed(redis: Redis, journal_id: str = JOURNAL) -> int:
    return int(await redis.get(redis_keys.landed(journal_id, 0)) or 0)


@pytest.mark.usefixtures("running")
async def test_a_click_lands_with_every_field(pool: asyncpg.Pool, redis: Redis) -> None:
    click = make_click(prefetch=True)
    await ship(redis, make_chunk(1, [click]))
    await eventually(lambda: landed(redis))
    row = dict((await pool.fetch("SELECT * FROM clicks"))[0])
    assert row.pop("landed_at") is not None
    assert str(row.pop("ip_address")) == "198.51.100.0"
    assert row.pop("visitor_id") is not None
    assert {name: value for name, value in row.items() if value is not None} == {
        "is_unique": True,
        "bot_reason": "prefetch",
        "utm_source": "mail",
        "tenant_id": uuid.UUID(int=1),
        "id": uuid.UUID(bytes=click.id),
        "link_id": uuid.UUID(int=2),
        "variant_id": uuid.UUID(int=3),
        "link_version": 4,
        "reason": 4,
        "is_prefetch": True,
        "is_bot": True,
        "is_conversion": False,
        "verdict_version": 2,
        "country": "BR",
        "referrer": "https://News.example:8443/story?id=1",
        "referrer_domain": "news.example",
        "user_agent": FIREFOX,
        "browser": "Firefox",
        "os": "Linux",
        "device": "desktop",
        "query": "utm_source=mail",
    }


@pytest.mark.parametrize(
    "case",
    [
        ("full", "198.51.100.77", "198.51.100.77"),
        ("truncated", "2001:db8:1:2:3::4", "2001:db8:1::"),
        ("full", "2001:db8::4", "2001:db8::4"),
        ("none", "198.51.100.77", None),
        ("full", "not an address", None),
    ],
)
async def test_addresses_are_stored_as_the_setting_says(
    pool: asyncpg.Pool, redis: Redis, settings: Settings, case: tuple[str, str, str | None]
) -> None:
    storage, ip, stored = case
    changed = Settings(
        database_url=settings.database_url,
        redis_url=settings.redis_url,
        jwt_secret=settings.jwt_secret,
        ip_storage=storage,  # type: ignore[arg-type]  # a literal of the parameters
    )
    running = RunningFlusher(changed)
    await ship(redis, make_chunk(1, [make_click(ip=ip)]))
    await eventually(lambda: landed(redis))
    await running.stop()
    assert await pool.fetchval("SELECT host(ip_address) FROM clicks") == stored


@pytest.mark.usefixtures("running")
async def test_text_that_postgres_cannot_hold_still_lands(pool: asyncpg.Pool, redis: Redis) -> None:
    await ship(
        redis, make_chunk(1, [make_click(query="a\0b", referrer="http://[", user_agent="\0", country="")])
    )
    await eventually(lambda: landed(redis))
    (row,) = await pool.fetch("SELECT query, referrer_domain, user_agent, country FROM clicks")
    assert tuple(row) == ("a\ufffdb", None, "\ufffd", None)


@pytest.mark.parametrize(
    ("user_agent", "reason"),
    [
        ("", "no_user_agent"),
        ("Googlebot/2.1 (+http://www.google.com/bot.html)", "crawler_list"),
        (FIREFOX, None),
    ],
)
@pytest.mark.usefixtures("running")
async def test_machines_are_told_apart(
    pool: asyncpg.Pool, redis: Redis, user_agent: str, reason: str | None
) -> None:
    await ship(redis, make_chunk(1, [make_click(user_agent=user_agent)]))
    await eventually(lambda: landed(redis))
    (row,) = await pool.fetch("SELECT is_bot, bot_reason FROM clicks")
    assert tuple(row) == (reason is not None, reason)


@pytest.mark.usefixtures("running")
async def test_a_chunk_that_comes_again_counts_once(pool: asyncpg.Pool, redis: Redis) -> None:
    first, second = make_chunk(1, [make_click(), make_click()]), make_chunk(2, [make_click()])
    await ship(redis, first, first, second)
    await eventually(lambda: _has_landed(redis, 2))
    await ship(redis, second, first)
    await eventually(lambda: _is_drained(redis))
    assert await count(pool) == 3
    assert await pool.fetchval("SELECT events FROM journal_ledger") == 3
    assert await pool.fetchval("SELECT landed::text FROM journal_ledger") == "{[1,3)}"


@pytest.mark.usefixtures("running")
async def test_chunks_out_of_order_leave_the_watermark_before_the_gap(
    pool: asyncpg.Pool, redis: Redis
) -> None:
    await ship(redis, make_chunk(1, [make_click()]), make_chunk(3, [make_click()]))
    await eventually(lambda: _is_drained(redis))
    assert await landed(redis) == 1
    await ship(redis, make_chunk(2, [make_click()]))
    await eventually(lambda: _has_landed(redis, 3))
    assert await count(pool) == 3


async def test_what_was_said_to_have_landed_is_never_taken_back(redis: Redis) -> None:
    script, key = load_lua("raise_landed"), redis_keys.landed(JOURNAL, 0)
    for said, stands in ((3, 3), (1, 3), (4, 4), (0, 4)):
        assert await redis.eval(script, 1, key, said, 60) == stands
        assert await landed(redis) == stands
    assert 0 < await redis.ttl(key) <= 60


@pytest.mark.usefixtures("running")
async def test_rollups_equal_the_rows(pool: asyncpg.Pool, redis: Redis) -> None:
    clicks = [
        make_click(
            variant_id=bytes(15) + bytes([number % 3]),
            user_agent="" if number % 5 == 0 else FIREFOX,
            prefetch=number % 7 == 0,
            id=((1_780_000_000_000 + number * 600_000) << 80 | number).to_bytes(16, "big"),
        )
        for number in range(60)
    ]
    await ship(redis, make_chunk(1, clicks[:25]), make_chunk(2, clicks[25:]))
    await eventually(lambda: _has_landed(redis, 2))
    from_rows = await pool.fetch(
        """SELECT variant_id, count(*), count(*) FILTER (WHERE is_bot), count(*) FILTER (WHERE is_prefetch)
           FROM clicks GROUP BY 1 ORDER BY 1"""
    )
    totals = await pool.fetch("SELECT variant_id, clicks, bots, prefetches FROM click_totals ORDER BY 1")
    slots = await pool.fetch(
        "SELECT variant_id, sum(clicks), sum(clicks - humans), sum(prefetches)"
        " FROM traffic_slots GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in totals] == [tuple(row) for row in from_rows]
    assert [tuple(row) for row in slots] == [tuple(row) for row in from_rows]
    assert await pool.fetchval("SELECT count(DISTINCT slot) FROM traffic_slots") == 41


@pytest.mark.usefixtures("running")
async def test_what_cannot_be_read_goes_to_the_dead_letters_and_nothing_waits_behind_it(
    pool: asyncpg.Pool, redis: Redis
) -> None:
    good = make_click()
    body = frame(b"not msgpack") + frame(encode_event(good)) + frame(encode_event(make_click(id=b"short")))
    await ship(redis, Chunk(JOURNAL, 1, 3, zlib.crc32(body), body))
    torn = make_chunk(2, [make_click()])
    await ship(redis, Chunk(JOURNAL, 2, 1, torn.crc ^ 1, torn.body), Chunk("../x", 3, 1, torn.crc, torn.body))
    await redis.xadd(redis_keys.events(0), {"s": "1"})
    no_frames = b"\xff" * 20
    await ship(redis, Chunk(JOURNAL, 2, 1, zlib.crc32(no_frames), no_frames), make_chunk(3, [make_click()]))
    await eventually(lambda: _has_landed(redis, 3))
    assert await count(pool) == 2
    reasons = [letter[b"reason"].decode() for letter in await read_dead_letters(redis)]
    for expected in (
        "not a known event",
        "CRC-32",
        "no chunk is called",
        "lacks or garbles",
        "impossible length",
    ):
        assert any(expected in reason for reason in reasons), reasons
    assert len(reasons) == 6


@pytest.mark.usefixtures("running")
async def test_a_chunk_that_postgres_refuses_does_not_hold_up_the_others(
    pool: asyncpg.Pool, redis: Redis
) -> None:
    twice = make_click()
    await ship(
        redis, make_chunk(1, [make_click()]), make_chunk(2, [twice, twice]), make_chunk(3, [make_click()])
    )
    await eventually(lambda: _has_landed(redis, 3))
    assert await count(pool) == 2
    (letter,) = await read_dead_letters(redis)
    assert (letter[b"journal"].decode(), letter[b"sequence"]) == (JOURNAL, b"2")


async def test_what_a_dead_flusher_left_pending_is_landed_by_its_successor(
    pool: asyncpg.Pool, redis: Redis, settings: Settings
) -> None:
    await redis.xgroup_create(redis_keys.events(0), redis_keys.FLUSHER_GROUP, "0", mkstream=True)
    await ship(redis, *(make_chunk(number, [make_click()]) for number in range(1, 41)))
    received: Any = await redis.xreadgroup(
        redis_keys.FLUSHER_GROUP, f"{settings.flusher_name}:0", {redis_keys.events(0): ">"}, count=30
    )
    assert len(received[0][1]) == 30
    successor = RunningFlusher(settings)
    await eventually(lambda: _has_landed(redis, 40))
    await successor.stop()
    assert await count(pool) == 40


async def test_flushers_that_are_cut_off_again_and_again_lose_and_double_nothing(
    pool: asyncpg.Pool, redis: Redis, settings: Settings
) -> None:
    chunks = 150
    for number in range(1, chunks + 1):
        await ship(redis, make_chunk(number, [make_click() for _ in range(40)]))
    for round_ in range(6):
        running = RunningFlusher(settings)
        await _await_progress(pool, until=chunks * 40)
        await asyncio.sleep(0.001 * round_)
        await running.kill()
    last = RunningFlusher(settings)
    await eventually(lambda: _has_landed(redis, chunks))
    await last.stop()
    assert await count(pool) == chunks * 40
    assert await pool.fetchval("SELECT sum(clicks) FROM click_totals") == chunks * 40


async def test_stopping_lands_what_is_in_the_stream(
    pool: asyncpg.Pool, redis: Redis, settings: Settings
) -> None:
    for number in range(1, 101):
        await ship(redis, make_chunk(number, [make_click()]))
    running = RunningFlusher(settings)
    await eventually(lambda: landed(redis))
    await running.stop()
    assert await count(pool) == 100
    assert await redis.xlen(redis_keys.events(0)) == 0


@pytest.mark.usefixtures("running")
async def test_redis_losing_everything_does_not_stop_the_flusher(pool: asyncpg.Pool, redis: Redis) -> None:
    await ship(redis, make_chunk(1, [make_click()]))
    await eventually(lambda: landed(redis))
    await redis.flushdb()
    await ship(redis, make_chunk(1, [make_click()]), make_chunk(2, [make_click()]))
    await eventually(lambda: _has_landed(redis, 2))
    assert await count(pool) == 2


async def read_dead_letters(redis: Redis) -> list[dict[bytes, bytes]]:
    letters: Any = await redis.xrange(redis_keys.dead_letters())
    return [fields for _entry_id, fields in letters]


async def _has_landed(redis: Redis, sequence: int) -> bool:
    return await landed(redis) >= sequence


async def _is_drained(redis: Redis) -> bool:
    return int(await redis.xlen(redis_keys.events(0))) == 0


async def _await_progress(pool: asyncpg.Pool, until: int) -> None:
    """Wait until at least one more row has landed, or all of them have."""
    target = min(await count(pool) + 1, until)

    async def is_there() -> bool:
        return await count(pool) >= target

    await eventually(is_there)
