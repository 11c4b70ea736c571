"""Who a visitor was is forgotten everywhere, on request and in time; and no sum moves."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.ids import id_floor
from control_plane.domains.conversions.reports import Report, take_in
from control_plane.domains.conversions.service import join_waiting
from control_plane.domains.privacy import service, store
from control_plane.domains.privacy.model import ErasureKind, ErasureRequest, day_of_id
from control_plane.jobs import privacy
from control_plane.pipeline import flusher
from control_plane.pipeline.rescore import rescore
from control_plane.pipeline.verdicts import Judge
from edge.contract import redis_keys
from edge.contract.events import Click, Conversion, ConversionKind, PageClick, Visit
from tests.pipeline.test_landing import (
    AGENTS,
    LINK,
    PROJECT,
    TENANT,
    all_joined,
    find_wrong,
    make_click,
    make_page_click,
    make_refund,
    make_sale,
    make_visit,
    run_until_drained,
    ship,
)
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from control_plane.db.pool import Connection, Pool
    from control_plane.settings import Settings
    from edge.contract.events import Event

MARK = "marker7f3a"
ADDRESS = "2001:db8:7f3a:7f3a::7f3a"
"""Kept whole here, so that it can be searched for; a truncated one is forgotten in the same way."""
NOBODY = Actor(kind=ActorKind.SYSTEM)
OTHER_TENANT = uuid.UUID(int=91)
OTHER_PROJECT = uuid.UUID(int=92)


@pytest.fixture
def keeping(settings: Settings) -> Settings:
    """Settings that keep whole addresses."""
    return msgspec.structs.replace(settings, ip_storage="full")


class Journey(msgspec.Struct, frozen=True):
    """All that one visitor did; every word of it that could say who they are holds MARK."""

    click: Click
    visit: Visit
    page_click: PageClick
    sale: Conversion
    refund: Conversion

    @property
    def events(self) -> list[Event]:
        return [self.click, self.visit, self.page_click, self.sale, self.refund]

    @property
    def click_id(self) -> str:
        return str(uuid.UUID(bytes=self.click.id))

    @property
    def visit_id(self) -> str:
        return str(uuid.UUID(bytes=self.visit.id))


def make_journey(chance: random.Random, number: int = 1, mark: str = MARK, ip: str = ADDRESS) -> Journey:
    replace = msgspec.structs.replace
    agent = f"{AGENTS[0]} {mark}"
    click = replace(
        make_click(chance),
        ip=ip,
        user_agent=agent,
        referrer=f"https://news.example/{mark}",
        query=f"q={mark}&keyword={mark}&utm_campaign=spring",
        prefetch=False,
        country="BR",
        project_id=PROJECT.bytes,
    )
    visit = replace(
        make_visit(chance, click),
        landing_url=f"https://{mark}@shop.example/{mark}?q={mark}&gclid={mark}&fbclid={mark}&ttclid={mark}#{mark}",
        referrer=f"https://mail.example/{mark}",
        client_id=mark,
    )
    page_click = replace(
        make_page_click(chance, visit),
        target_url=f"https://pay.example/{mark}?who={mark}",
        element_text=f"Hello {mark}",
        page_url=f"https://shop.example/?keyword={mark}",
        click_id=f"{mark}-own",
    )
    sale = replace(make_sale(chance, number, click), visit_id=str(uuid.UUID(bytes=visit.id)))
    refund = replace(make_refund(chance, number), reason=f"says {mark}")
    return Journey(click, visit, page_click, sale, refund)


async def find_mark(pool: Pool, mark: str = MARK) -> list[str]:
    """Look through every column of every table, as text; give the places."""
    tables = await pool.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    )
    found = []
    for (name,) in tables:
        rows = await pool.fetch(f"SELECT row_to_json(t)::text AS row FROM {name} t")
        found += [f"{name}: {row['row']}" for row in rows if mark in row["row"]]
    return found


async def find_in_redis(redis: Redis, mark: str = MARK) -> list[str]:
    """Look through every value of every key; give the keys."""
    read: dict[bytes | str, Callable[[Any], Awaitable[Any]]] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"stream": redis.xrange,
    }
    found = []
    for key in await redis.keys("*"):
        kind = await redis.type(key)
        if mark in str(await read.get(kind, redis.dump)(key)):
            found.append(str(key, "utf-8") if isinstance(key, bytes) else key)
    return found


async def snapshot_sums(pool: Pool) -> dict[str, list[str]]:
    """Give all sums, as text."""
    return {
        table: sorted(
            row["row"] for row in await pool.fetch(f"SELECT row_to_json(t)::text AS row FROM {table} t")
        )
        for table in ("click_totals", "traffic_slots", "traffic_days", "revenue_slots", "campaigns")
    }


async def land(pool: Pool, redis: Redis, settings: Settings, *events: Event, journal: int = 1) -> None:
    """Have a flusher land events, and join those that wait for each other."""
    await ship(redis, [list(events)], f"{journal:032x}")
    stop = asyncio.Event()
    running = asyncio.create_task(flusher.run(settings, stop))
    try:
        await eventually(lambda: has_settled(pool, redis), timeout_s=30)
    finally:
        stop.set()
        await running


async def has_settled(pool: Pool, redis: Redis) -> bool:
    return await redis.xlen(redis_keys.events(0)) == 0 and await all_joined(pool)


async def ask(pool: Pool, kind: ErasureKind, subject: str, **more: Any) -> uuid.UUID:
    request = ErasureRequest(kind=kind, subject=subject, **more)
    async with pool.acquire() as db, db.transaction():
        erasure, _is_new = await service.request_erasure(db, NOBODY, TENANT, request, datetime.now(UTC))
    return erasure.id


async def carry_out(pool: Pool, settings: Settings, *, later: timedelta = timedelta()) -> None:
    # Postgres' clock may be ahead of ours by a moment.
    await privacy.carry_out_erasures(pool, settings, datetime.now(UTC) + timedelta(minutes=1) + later)


async def is_finished(pool: Pool, erasure_id: uuid.UUID) -> bool:
    async with pool.acquire() as db:
        return (await service.fetch_erasure(db, TENANT, erasure_id)).finished_at is not None


async def has_settled_erasures(pool: Pool) -> bool:
    """Tell whether no erasure has anything to do before its look of the next day."""
    return not await pool.fetchval("SELECT count(*) FROM erasures WHERE due_at < now() + interval '1 hour'")


async def add_other_tenant(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'b', 'free', now())", OTHER_TENANT
    )
    await pool.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at)"
        " VALUES ($1, $2, 'b', now(), now())",
        OTHER_TENANT,
        OTHER_PROJECT,
    )


def of_other_tenant(journey: Journey) -> list[Event]:
    """The same journey, down to its ids, with another tenant."""
    mine = {"tenant_id": OTHER_TENANT.bytes, "project_id": OTHER_PROJECT.bytes}
    return [msgspec.structs.replace(event, **mine) for event in journey.events]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ErasureKind.CLICK, "click_id"),
        (ErasureKind.CLICK, "own_word"),
        (ErasureKind.VISIT, "visit_id"),
        (ErasureKind.VISITOR, "number"),
    ],
)
async def test_nothing_is_left_of_a_visitor_and_no_sum_moves(
    db_pool: Pool, redis: Redis, keeping: Settings, kind: ErasureKind, name: str
) -> None:
    chance = random.Random(1)
    journey, other = make_journey(chance), make_journey(chance, 2, "somebody", "2001:db8::2")
    await land(db_pool, redis, keeping, *journey.events, *other.events)
    places = await find_mark(db_pool)
    assert [any(place.startswith(table) for place in places) for table in ("clicks", "visits", "conv")] == [
        True
    ] * 3
    assert await find_wrong(db_pool) == []
    before, others = await snapshot_sums(db_pool), await find_mark(db_pool, "somebody")
    subject, more = f"{MARK}-own", {}
    if name == "click_id":
        subject = journey.click_id
    elif name == "visit_id":
        subject = journey.visit_id
    elif name == "number":
        number = await db_pool.fetchval(
            "SELECT visitor_id FROM visits WHERE id = $1", uuid.UUID(journey.visit_id)
        )
        subject = f"{number & (2**64 - 1):016x}"
        more = {"day": day_of_id(uuid.UUID(journey.visit_id))}
    erasure_id = await ask(db_pool, kind, subject, **more)
    assert not await is_finished(db_pool, erasure_id)
    await carry_out(db_pool, keeping)
    assert await is_finished(db_pool, erasure_id)
    assert await find_mark(db_pool) == []
    assert await find_mark(db_pool, ADDRESS) == []
    assert await find_in_redis(redis) == []
    assert await find_mark(db_pool, "somebody") == others
    assert await snapshot_sums(db_pool) == before
    assert await find_wrong(db_pool) == []
    row = await db_pool.fetchrow("SELECT clicks, visits, conversions FROM erasures")
    assert tuple(row or ()) == (2, 1, 1)


async def test_what_stays_of_a_visit_is_where_it_was(db_pool: Pool, redis: Redis, keeping: Settings) -> None:
    journey = make_journey(random.Random(2))
    await land(db_pool, redis, keeping, *journey.events)
    await ask(db_pool, ErasureKind.CLICK, journey.click_id)
    await carry_out(db_pool, keeping)
    visit = await db_pool.fetchrow("SELECT * FROM visits")
    assert visit is not None
    assert (visit["landing_url"], visit["click_id"]) == ("https://shop.example", journey.click_id)
    assert (visit["country"], visit["browser"], visit["referrer_domain"]) == ("BR", "Firefox", "mail.example")
    click = await db_pool.fetchrow("SELECT * FROM clicks WHERE link_id IS NULL")
    assert click is not None
    assert (click["target_url"], click["visit_id"]) == ("https://pay.example", journey.visit_id)
    sale = await db_pool.fetchrow("SELECT * FROM conversions WHERE kind = 2")
    assert sale is not None
    assert (sale["external_id"], str(sale["attributed_click"])) == ("s1", journey.click_id)


async def test_answers_kept_for_repeats_go_along(db_pool: Pool, keeping: Settings) -> None:
    await db_pool.executemany(
        "INSERT INTO idempotency_keys"
        " (tenant_id, holder_id, endpoint, key, fingerprint, created_at, status, answer)"
        " VALUES ($1, $1, 'sales', 'once', 'digest', now(), 201, 'names a click')",
        [(TENANT,), (OTHER_TENANT,)],
    )
    await ask(db_pool, ErasureKind.CLICK, str(uuid.UUID(int=1)))
    await carry_out(db_pool, keeping)
    left = await db_pool.fetch("SELECT tenant_id FROM idempotency_keys")
    assert [row["tenant_id"] for row in left] == [OTHER_TENANT]


async def test_other_tenants_are_left_alone(db_pool: Pool, redis: Redis, keeping: Settings) -> None:
    await add_other_tenant(db_pool)
    journey = make_journey(random.Random(3))
    theirs = msgspec.structs.replace(journey.click, tenant_id=OTHER_TENANT.bytes, link_id=LINK.bytes)
    await land(db_pool, redis, keeping, *journey.events)
    await land(db_pool, redis, keeping, *of_other_tenant(journey)[1:], theirs, journal=2)
    before = [row for row in await find_mark(db_pool) if str(OTHER_TENANT) in row]
    assert len(before) == 4
    await ask(db_pool, ErasureKind.CLICK, journey.click_id, whole_visitor=True)
    await carry_out(db_pool, keeping)
    assert await find_mark(db_pool) == before
    await land(db_pool, redis, keeping, *of_other_tenant(make_journey(random.Random(3), 2))[1:], journal=3)
    assert await find_mark(db_pool) == before


class TestLateLandings:
    @pytest.mark.parametrize("missing", ["click", "visit", "page_click", "sale", "refund"])
    async def test_what_lands_after_its_erasure_brings_nothing_back(
        self, db_pool: Pool, redis: Redis, keeping: Settings, missing: str
    ) -> None:
        journey = make_journey(random.Random(4))
        late = getattr(journey, missing)
        await ship(redis, [[event for event in journey.events if event is not late]])
        await run_until_drained(redis, keeping)
        erasure_id = await ask(db_pool, ErasureKind.CLICK, journey.click_id)
        await carry_out(db_pool, keeping)
        assert await is_finished(db_pool, erasure_id)
        await land(db_pool, redis, keeping, late, journal=2)
        assert await find_mark(db_pool) == []
        assert await find_wrong(db_pool) == []
        assert not await has_settled_erasures(db_pool)
        await carry_out(db_pool, keeping)
        assert await has_settled_erasures(db_pool)
        assert await find_mark(db_pool) == []

    async def test_a_whole_journey_that_waited_in_the_stream_is_forgotten_as_it_lands(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        journey = make_journey(random.Random(5))
        await ship(redis, [list(reversed(journey.events))])
        assert await find_in_redis(redis) == [redis_keys.events(0)]
        await ask(db_pool, ErasureKind.CLICK, journey.click_id)
        await carry_out(db_pool, keeping)
        await run_until_drained(redis, keeping)
        assert await find_mark(db_pool) == []
        assert await find_in_redis(redis) == []
        assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE is_conversion") == 1
        assert await find_wrong(db_pool) == []

    async def test_the_whole_visitor_goes_with_a_click_also_when_it_lands_late(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        chance = random.Random(6)
        journey = make_journey(chance)
        again = [
            msgspec.structs.replace(
                journey.click, id=journey.click.id[:6] + uuid.UUID(int=0x7000 << 64 | 2 << 62 | n).bytes[6:]
            )
            for n in range(2)
        ]
        erasure_id = await ask(db_pool, ErasureKind.CLICK, journey.click_id, whole_visitor=True)
        await land(db_pool, redis, keeping, again[0])
        assert len(await find_mark(db_pool)) == 1  # nobody can tell yet that it was the same one
        await land(db_pool, redis, keeping, journey.click, journal=2)
        await carry_out(db_pool, keeping)
        assert await find_mark(db_pool) == []
        await land(db_pool, redis, keeping, again[1], journal=3)
        assert await find_mark(db_pool) == []
        assert await is_finished(db_pool, erasure_id)
        assert await find_wrong(db_pool) == []

    async def test_a_landing_that_began_before_is_waited_for(
        self, db_pool: Pool, redis: Redis, keeping: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A transaction that asked for erasures before there was one, and commits after it began."""
        journey = make_journey(random.Random(7))
        await land(db_pool, redis, keeping, journey.click)
        row = await db_pool.fetchrow("SELECT to_jsonb(c) AS click FROM clicks c")
        assert row is not None
        await db_pool.execute("DELETE FROM clicks")
        is_waiting, read_oldest = asyncio.Event(), store.read_oldest

        async def tell(db: Connection) -> int:
            is_waiting.set()
            return await read_oldest(db)

        monkeypatch.setattr(store, "read_oldest", tell)
        async with db_pool.acquire() as landing:
            transaction = landing.transaction()
            await transaction.start()
            await landing.execute(
                "INSERT INTO clicks SELECT * FROM jsonb_populate_record(NULL::clicks, $1)", row["click"]
            )
            erasure_id = await ask(db_pool, ErasureKind.CLICK, journey.click_id)
            carrying_out = asyncio.create_task(carry_out(db_pool, keeping))
            await asyncio.wait_for(is_waiting.wait(), 30)
            assert not await is_finished(db_pool, erasure_id)
            await transaction.commit()
        await carrying_out
        assert await is_finished(db_pool, erasure_id)
        assert await find_mark(db_pool) == []

    async def test_an_erasure_is_put_off_while_a_landing_goes_on(
        self, db_pool: Pool, keeping: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("control_plane.domains.privacy.forgetting.OLDER_END_WITHIN_S", 0.1)
        async with db_pool.acquire() as landing:
            transaction = landing.transaction()
            await transaction.start()
            await landing.fetchval("SELECT pg_current_xact_id()")
            erasure_id = await ask(db_pool, ErasureKind.CLICK, str(uuid.UUID(int=5)))
            await carry_out(db_pool, keeping)
            assert not await is_finished(db_pool, erasure_id)
            await transaction.rollback()
        await carry_out(db_pool, keeping)
        assert await is_finished(db_pool, erasure_id)

    async def test_what_is_joined_to_it_after_its_erasure_is_forgotten_within_a_day(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        journey = make_journey(random.Random(3))
        upsell = msgspec.structs.replace(
            journey.refund,
            id=uuid.UUID(int=uuid.UUID(bytes=journey.refund.id).int ^ 1).bytes,
            kind=ConversionKind.UPSELL,
            external_id="more",
            reason="",
        )
        refund = msgspec.structs.replace(journey.refund, sale_id="more", amount_minor=1)
        await land(db_pool, redis, keeping, journey.click, journey.sale, upsell, refund)
        erasure_id = await ask(db_pool, ErasureKind.CLICK, journey.click_id)
        await carry_out(db_pool, keeping)
        assert await is_finished(db_pool, erasure_id)
        # As it is when they land at once with the sale, and do not see it or each other.
        await db_pool.execute(
            "UPDATE conversions SET target_id = NULL, attributed_click = NULL, waits_for = 'sale',"
            " next_look_at = now(), reason = $1, is_forgotten = false WHERE kind IN (3, 4)",
            MARK,
        )
        await join_waiting(db_pool, datetime.now(UTC))
        assert len(await find_mark(db_pool)) == 2
        await carry_out(db_pool, keeping, later=timedelta(days=1))
        assert await find_mark(db_pool) == []
        await carry_out(db_pool, keeping, later=timedelta(days=31))
        assert await db_pool.fetchval("SELECT due_at FROM erasures") is None

    async def test_whatever_lands_while_erasures_are_carried_out_is_forgotten(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        chance = random.Random(14)
        journeys = [make_journey(chance, number, ip=f"2001:db8::{number:x}") for number in range(40)]
        events = [event for journey in journeys for event in journey.events]
        chance.shuffle(events)
        stop = asyncio.Event()
        running = [asyncio.create_task(flusher.run(keeping, stop)) for _ in range(2)]
        for number, journey in enumerate(journeys):
            await ship(redis, [events[number * 5 : number * 5 + 5]], f"{number + 1:032x}")
            kind, name = chance.choice(
                ((ErasureKind.CLICK, journey.click_id), (ErasureKind.VISIT, journey.visit_id))
            )
            await ask(db_pool, kind, name, whole_visitor=chance.random() < 0.5)
            if chance.random() < 0.5:
                await carry_out(db_pool, keeping)
        await eventually(lambda: has_settled(db_pool, redis), timeout_s=30)
        stop.set()
        await asyncio.gather(*running)
        await carry_out(db_pool, keeping)
        assert await has_settled_erasures(db_pool)
        await carry_out(db_pool, keeping, later=timedelta(days=1))
        assert await find_mark(db_pool) == []
        assert await redis.xlen(redis_keys.dead_letters()) == 0
        assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE is_conversion") == 40
        assert await find_wrong(db_pool) == []


async def test_asked_for_again_it_is_the_same(db_pool: Pool, keeping: Settings) -> None:
    click_id = str(uuid.UUID(int=7))
    first = await ask(db_pool, ErasureKind.CLICK, click_id)
    assert await ask(db_pool, ErasureKind.CLICK, click_id) == first
    await carry_out(db_pool, keeping)
    assert await ask(db_pool, ErasureKind.CLICK, click_id) == first
    assert await ask(db_pool, ErasureKind.CLICK, click_id, whole_visitor=True) != first
    assert await db_pool.fetchval("SELECT subject FROM erasures WHERE id = $1", first) == click_id


async def test_a_report_that_is_repeated_does_not_differ_from_what_was_forgotten(
    db_pool: Pool, redis: Redis, keeping: Settings
) -> None:
    journey = make_journey(random.Random(13))
    await land(db_pool, redis, keeping, *journey.events)
    again = Report(
        kind=ConversionKind.REFUND, external_id="r1", sale_id="s1", amount="4", reason=f"says {MARK}"
    )
    other = msgspec.structs.replace(again, sale_id="s2")
    await ask(db_pool, ErasureKind.CLICK, journey.click_id)
    await carry_out(db_pool, keeping)
    async with db_pool.acquire() as db, db.transaction():
        outcomes = await take_in(db, TENANT, [again, other], datetime.now(UTC))
    assert [(one.is_new, one.refusal is None) for one in outcomes] == [(False, True), (False, False)]
    assert await find_mark(db_pool) == []


async def test_verdicts_on_the_forgotten_stay(db_pool: Pool, redis: Redis, keeping: Settings) -> None:
    journey = make_journey(random.Random(8))
    await land(db_pool, redis, keeping, *journey.events)
    await ask(db_pool, ErasureKind.CLICK, journey.click_id)
    await carry_out(db_pool, keeping)
    done = await rescore(db_pool, Judge.read(""), datetime(2026, 1, 1, tzinfo=UTC))
    assert (done.seen, done.judged, done.moved) == (0, 0, 0)
    assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE is_bot") == 0


class TestRetention:
    NOW = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=40)

    async def set_days(self, pool: Pool, days: int | None) -> None:
        await pool.execute(
            "UPDATE tenants SET event_retention_days = $2, updated_at = clock_timestamp() WHERE id = $1",
            TENANT,
            days,
        )

    async def test_who_came_before_is_forgotten_and_who_came_since_is_not(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        chance = random.Random(9)
        journeys = [make_journey(chance, number) for number in range(30)]
        cutoff = datetime(2026, 3, 2, 12, tzinfo=UTC)
        await land(db_pool, redis, keeping, *(event for one in journeys for event in one.events))
        before = await snapshot_sums(db_pool)
        await self.set_days(db_pool, 38)
        now = cutoff + timedelta(days=38)
        await asyncio.gather(*(privacy.apply_retention(db_pool, keeping, now) for _ in range(2)))
        low = id_floor(cutoff)
        for table in ("clicks", "visits"):
            known = await db_pool.fetch(f"SELECT id, visitor_id, user_agent, ip_address FROM {table}")
            old = [row for row in known if row["id"] < low]
            new = [row for row in known if row["id"] >= low]
            assert old
            assert new
            assert {tuple(row)[1:] for row in old} == {(None, None, None)}
            assert all(row["visitor_id"] is not None and MARK in row["user_agent"] for row in new)
        reasons = await db_pool.fetch("SELECT id, reason FROM conversions WHERE kind = 3")
        assert {row["reason"] is None for row in reasons if row["id"] < low} == {True}
        assert {row["reason"] is None for row in reasons if row["id"] >= low} == {False}
        assert await snapshot_sums(db_pool) == before
        assert await find_wrong(db_pool) == []
        marks = await db_pool.fetch("SELECT forgotten_until FROM retention_marks")
        assert {row["forgotten_until"] for row in marks} == {low}
        await privacy.apply_retention(db_pool, keeping, cutoff + timedelta(days=42))
        assert await find_mark(db_pool) == []
        assert await find_wrong(db_pool) == []

    async def test_what_lands_when_its_time_is_over_is_forgotten_as_it_lands(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        await self.set_days(db_pool, 7)
        journey = make_journey(random.Random(10))
        await land(db_pool, redis, keeping, *journey.events)  # of March 2026
        assert await find_mark(db_pool) == []
        assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE is_conversion") == 1
        assert await find_wrong(db_pool) == []

    async def test_many_pages_are_walked_and_begun_again_where_they_ended(
        self, db_pool: Pool, redis: Redis, keeping: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("control_plane.domains.privacy.forgetting.PAGE_SIZE", 7)
        chance = random.Random(11)
        clicks = [
            msgspec.structs.replace(make_click(chance), user_agent=f"{AGENTS[0]} {MARK}") for _ in range(60)
        ]
        await land(db_pool, redis, keeping, *clicks)
        await self.set_days(db_pool, 1)
        await privacy.apply_retention(db_pool, keeping, self.NOW)
        assert await find_mark(db_pool) == []
        assert await find_wrong(db_pool) == []

    async def test_tenants_that_say_nothing_keep_everything(
        self, db_pool: Pool, redis: Redis, keeping: Settings
    ) -> None:
        journey = make_journey(random.Random(12))
        await land(db_pool, redis, keeping, *journey.events)
        before = await find_mark(db_pool)
        await privacy.apply_retention(db_pool, keeping, self.NOW)
        assert await find_mark(db_pool) == before != []


async def test_subjects_are_forgotten_when_nothing_can_land_any_more(
    db_pool: Pool, keeping: Settings
) -> None:
    await ask(db_pool, ErasureKind.CLICK, str(uuid.UUID(int=7)))
    until: datetime = await db_pool.fetchval("SELECT noted_at FROM erased_subjects") + privacy.SUBJECTS_KEPT
    await privacy.trim_erased_subjects(db_pool, keeping, until)
    assert await db_pool.fetchval("SELECT count(*) FROM erased_subjects") == 1
    await privacy.trim_erased_subjects(db_pool, keeping, until + timedelta(seconds=1))
    assert await db_pool.fetchval("SELECT count(*) FROM erased_subjects") == 0
