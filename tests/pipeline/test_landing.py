"""Everything that edges take in lands once, and every sum is that of its rows."""

from __future__ import annotations

import asyncio
import random
import uuid
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
import uuid_utils
from xxhash import xxh3_64_intdigest

from control_plane.domains.traffic.check import find_disagreements
from control_plane.pipeline import flusher
from control_plane.pipeline.page_rows import own_id
from edge.contract import redis_keys
from edge.contract.events import (
    FRAME_HEADER,
    Chunk,
    Click,
    Conversion,
    ConversionKind,
    Event,
    PageClick,
    Reason,
    Visit,
    chunk_fields,
    encode_event,
)
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings

TENANT, PROJECT, LINK = (uuid.UUID(int=number) for number in (1, 2, 3))
VARIANTS = (uuid.UUID(int=4), uuid.UUID(int=5))
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)


def make_id(chance: random.Random) -> bytes:
    """Make a UUIDv7 of some moment of three days."""
    ms = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000) + chance.randrange(3 * 86_400_000)
    return uuid_utils.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | chance.getrandbits(60)).bytes


def make_click(chance: random.Random) -> Click:
    return Click(
        id=make_id(chance),
        tenant_id=TENANT.bytes,
        link_id=LINK.bytes,
        variant_id=chance.choice(VARIANTS).bytes,
        link_version=1,
        reason=Reason.WEIGHT,
        ip=f"84.128.0.{chance.randrange(20)}",
        country=chance.choice(("BR", "DE", "")),
        referrer=chance.choice(("", "https://news.example/a")),
        user_agent=chance.choice(AGENTS),
        query=chance.choice(("", "utm_source=mail&utm_campaign=spring", "utm_term=a%00b")),
        prefetch=chance.random() < 0.1,
        project_id=chance.choice((b"", PROJECT.bytes)),
    )


def make_visit(chance: random.Random, click: Click) -> Visit:
    return Visit(
        id=make_id(chance),
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        click_id=str(uuid.UUID(bytes=click.id)),
        client_id="",
        landing_url="https://shop.example/?utm_campaign=spring&gclid=g1&network=s&adgroup=a1",
        referrer="",
        ip=click.ip,
        country=click.country,
        user_agent=click.user_agent,
    )


def make_page_click(chance: random.Random, visit: Visit) -> PageClick:
    return PageClick(
        id=make_id(chance),
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        click_id="",
        visit_id=str(uuid.UUID(bytes=visit.id)),
        target_url="https://pay.example/",
        element_type="a",
        element_text="Buy\0",
        page_url=visit.landing_url,
        ip=visit.ip,
        country=visit.country,
        user_agent=visit.user_agent,
    )


def make_sale(chance: random.Random, number: int, click: Click) -> Conversion:
    return Conversion(
        id=make_id(chance),
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        kind=ConversionKind.SALE,
        external_id=f"s{number}",
        status="completed",
        amount_minor=1000 + number,
        commission_minor=10,
        currency="USD",
        source="postback",
        click_id=str(uuid.UUID(bytes=click.id)),
    )


def make_refund(chance: random.Random, number: int) -> Conversion:
    return Conversion(
        id=make_id(chance),
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        kind=ConversionKind.REFUND,
        external_id=f"r{number}",
        status="completed",
        amount_minor=400,
        commission_minor=0,
        currency="USD",
        source="postback",
        sale_id=f"s{number}",
    )


async def ship(redis: Redis, batches: Sequence[Sequence[Event]], journal: str = "0" * 31 + "1") -> None:
    for sequence, events in enumerate(batches, start=1):
        payloads = [encode_event(event) for event in events]
        body = b"".join(
            FRAME_HEADER.pack(len(payload), xxh3_64_intdigest(payload) & 0xFFFF_FFFF) + payload
            for payload in payloads
        )
        chunk = Chunk(journal, sequence, len(events), zlib.crc32(body), body)
        await redis.xadd(redis_keys.events(0), chunk_fields(chunk))  # type: ignore[arg-type]  # redis-py is invariant


async def run_until_drained(redis: Redis, settings: Settings) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(flusher.run(settings, stop))
    try:
        await eventually(lambda: _is_drained(redis), timeout_s=30)
    finally:
        stop.set()
        await running


async def _is_drained(redis: Redis) -> bool:
    return await redis.xlen(redis_keys.events(0)) == 0


async def find_wrong(pool: Pool) -> list[object]:
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        return [disagreement async for disagreement in find_disagreements(db)]


async def all_joined(pool: Pool) -> bool:
    waiting: int = await pool.fetchval("SELECT count(*) FROM conversions WHERE waits_for IS NOT NULL")
    return waiting == 0


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_lands_the_sums_are_those_of_the_rows(
    db_pool: Pool, redis: Redis, settings: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    clicks = [make_click(chance) for _ in range(300)]
    visits = [make_visit(chance, click) for click in clicks[:100]]
    page_clicks = [make_page_click(chance, visit) for visit in visits[:40]]
    sales = [make_sale(chance, number, click) for number, click in enumerate(clicks[:60])]
    refunds = [make_refund(chance, number) for number in range(20)]
    others: list[Event] = [*visits, *page_clicks, *sales, *refunds]
    events: list[Event] = [*clicks, *others, *chance.sample(others, 50)]
    chance.shuffle(events)
    await ship(redis, [events[start : start + 37] for start in range(0, len(events), 37)])
    stop = asyncio.Event()
    running = [asyncio.create_task(flusher.run(settings, stop)) for _ in range(2)]
    await eventually(lambda: _is_drained(redis), timeout_s=30)
    await eventually(lambda: all_joined(db_pool), timeout_s=30)
    stop.set()
    await asyncio.gather(*running)
    assert await redis.xlen(redis_keys.dead_letters()) == 0
    counts = await db_pool.fetchrow(
        "SELECT count(*) FILTER (WHERE link_id IS NOT NULL), count(*) FILTER (WHERE link_id IS NULL),"
        " count(*) FILTER (WHERE is_conversion) FROM clicks"
    )
    assert tuple(counts or ()) == (300, 40, 60)
    assert await db_pool.fetchval("SELECT count(*) FROM visits") == 100
    assert await db_pool.fetchval("SELECT count(*) FROM conversions") == 80
    assert await db_pool.fetchval("SELECT sum(refunded_minor) FROM conversions") == 8000
    assert await find_wrong(db_pool) == []


async def test_the_check_finds_what_is_wrong(db_pool: Pool, redis: Redis, settings: Settings) -> None:
    chance = random.Random(1)
    click = make_click(chance)
    await ship(redis, [[click, make_visit(chance, click), make_sale(chance, 1, click)]])
    await run_until_drained(redis, settings)
    await eventually(lambda: all_joined(db_pool))
    assert await find_wrong(db_pool) == []
    for statement in (
        "UPDATE click_totals SET clicks = clicks + 1",
        "UPDATE traffic_slots SET humans = humans + 1 WHERE subject_kind = 1",
        "UPDATE traffic_slots SET visits = visits + 1 WHERE subject_kind = 2",
        "UPDATE traffic_days SET uniques = uniques + 1 WHERE subject_kind = 1",
        "UPDATE revenue_slots SET gross_minor = gross_minor + 1 WHERE subject_kind = 2 AND dimension = 0",
        "UPDATE clicks SET is_conversion = NOT is_conversion",
    ):
        async with db_pool.acquire() as db:
            transaction = db.transaction()
            await transaction.start()
            await db.execute(statement)
            assert [one async for one in find_disagreements(db)], statement
            await transaction.rollback()


async def test_a_visit_and_a_click_on_a_page_land_with_every_field(
    db_pool: Pool, redis: Redis, settings: Settings
) -> None:
    chance = random.Random(2)
    click = make_click(chance)
    visit = make_visit(chance, click)
    page_click = make_page_click(chance, visit)
    await ship(redis, [[visit, page_click]])
    await run_until_drained(redis, settings)
    row = dict(await db_pool.fetchrow("SELECT * FROM visits") or {})
    said = (
        "click_id",
        "landing_url",
        "utm_campaign",
        "campaign",
        "ad_group",
        "network",
        "gclid",
        "is_unique",
    )
    assert {name: row[name] for name in said} == {
        "click_id": visit.click_id,
        "landing_url": visit.landing_url,
        "utm_campaign": "spring",
        "campaign": "spring",
        "ad_group": "a1",
        "network": "s",
        "gclid": "g1",
        "is_unique": True,
    }
    assert str(row["ip_address"]) == "84.128.0.0"
    row = dict(await db_pool.fetchrow("SELECT * FROM clicks") or {})
    assert uuid.UUID(str(row["id"])).bytes == own_id(page_click.id)
    assert row["click_id"] == str(uuid.UUID(bytes=page_click.id))
    told = ("visit_id", "target_url", "element_type", "element_text", "link_id", "reason")
    assert [row[name] for name in told] == [
        page_click.visit_id,
        "https://pay.example/",
        "a",
        "Buy\N{REPLACEMENT CHARACTER}",
        None,
        None,
    ]


class TestOwnIds:
    @pytest.mark.parametrize("claimed", [bytes(16), b"\xff" * 16, bytes(range(16))], ids=["0", "f", "range"])
    def test_they_are_uuids_of_the_same_time(self, claimed: bytes) -> None:
        kept = uuid.UUID(bytes=own_id(claimed))
        assert (kept.version, kept.variant) == (7, uuid.RFC_4122)
        assert kept.bytes[:6] == claimed[:6]
        assert own_id(claimed) == kept.bytes != claimed

    async def test_a_page_cannot_take_the_id_of_a_redirect(
        self, db_pool: Pool, redis: Redis, settings: Settings
    ) -> None:
        chance = random.Random(3)
        click = make_click(chance)
        visit = make_visit(chance, click)
        thief = make_page_click(chance, visit)
        await ship(redis, [[msgspec.structs.replace(thief, id=click.id)], [click]])
        await run_until_drained(redis, settings)
        assert (
            await db_pool.fetchval("SELECT link_id FROM clicks WHERE id = $1", uuid.UUID(bytes=click.id))
            == LINK
        )
        assert await db_pool.fetchval("SELECT count(*) FROM clicks") == 2


class TestVisitors:
    async def test_a_visitor_is_unique_once_a_day(
        self, db_pool: Pool, redis: Redis, settings: Settings
    ) -> None:
        chance = random.Random(4)
        day = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
        first = make_click(chance)
        ids = [
            ((day + offset) << 80 | 7 << 76 | 2 << 62 | n).to_bytes(16, "big")
            for n, offset in enumerate((0, 1000, 86_400_000, 86_400_001))
        ]
        await ship(redis, [[msgspec.structs.replace(first, id=click_id)] for click_id in ids])
        await run_until_drained(redis, settings)
        rows = await db_pool.fetch("SELECT is_unique, visitor_id FROM clicks ORDER BY id")
        assert [row["is_unique"] for row in rows] == [True, False, True, False]
        assert len({row["visitor_id"] for row in rows}) == 2

    async def test_too_many_a_minute_are_a_machines(
        self, db_pool: Pool, redis: Redis, settings: Settings
    ) -> None:
        chance = random.Random(5)
        day = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
        first = make_click(chance)
        ids = [((day + n) << 80 | 7 << 76 | 2 << 62 | n).to_bytes(16, "big") for n in range(40)]
        person = msgspec.structs.replace(first, user_agent=AGENTS[0], prefetch=False)
        clicks = [msgspec.structs.replace(person, id=click_id) for click_id in ids]
        await ship(redis, [clicks[:20], clicks[20:]])
        await run_until_drained(redis, settings)
        rows = await db_pool.fetch("SELECT bot_reason, count(*) FROM clicks GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in rows] == [("rate", 10), (None, 30)]
