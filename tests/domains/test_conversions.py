"""Whatever comes in which order, the end is the same."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from control_plane.core.ids import id_floor, id_time
from control_plane.db.pool import open_pool
from control_plane.domains.conversions import service
from control_plane.domains.conversions.model import Landed, Outcome
from control_plane.domains.traffic.changes import Changes, subjects_of
from control_plane.domains.traffic.check import Disagreement, find_disagreements
from control_plane.domains.traffic.model import Counts, Dimension, Subject, SubjectKind
from control_plane.domains.traffic.store import write_changes
from edge.contract.events import Conversion, ConversionKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from control_plane.db.pool import Pool

TENANT, PROJECT, LINK, VARIANT = (uuid.UUID(int=number) for number in range(1, 5))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLICK = uuid.UUID(int=id_floor(NOON - timedelta(minutes=20)).int + 1)
PAGE_CLICK = uuid.UUID(int=id_floor(NOON - timedelta(minutes=10)).int + 2)
VISIT = uuid.UUID(int=id_floor(NOON - timedelta(minutes=19)).int + 3)
LATER = NOON + timedelta(days=1)

Step: TypeAlias = Conversion | str
"""An event; or the name of a table whose row arrives."""

SALE, REFUND, UPSELL, CHECKOUT = (
    ConversionKind.SALE,
    ConversionKind.REFUND,
    ConversionKind.UPSELL,
    ConversionKind.CHECKOUT,
)


def report(number: int, kind: ConversionKind, external_id: str, **facts: Any) -> Conversion:
    values: dict[str, Any] = {
        "status": "completed",
        "amount_minor": 1000,
        "commission_minor": 0,
        "currency": "USD",
    }
    return Conversion(
        id=uuid.UUID(int=id_floor(NOON + timedelta(minutes=number)).int + number).bytes,
        tenant_id=TENANT.bytes,
        project_id=facts.pop("project", PROJECT).bytes,
        kind=kind,
        external_id=external_id,
        source="postback",
        **values | facts,
    )


@pytest.fixture
async def db_pool(database_url: str) -> AsyncIterator[Pool]:
    """As the flusher opens it: with the codec for jsonb."""
    pool = await open_pool(database_url, size=12)
    await pool.execute(
        "INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'a', 'free', now())", TENANT
    )
    await pool.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at)"
        " VALUES ($1, $2, 'a', now(), now())",
        TENANT,
        PROJECT,
    )
    yield pool
    await pool.close()


async def land(pool: Pool, events: Sequence[Conversion], now: datetime = NOON) -> list[Landed]:
    async with pool.acquire() as db, db.transaction():
        changes = Changes()
        landed = await service.land(db, events, changes, now)
        await write_changes(db, changes)
        return landed


async def arrive(pool: Pool, table: str) -> None:
    """Land a row, with what it adds to the sums."""
    if table == "visits":
        await pool.execute(
            "INSERT INTO visits (tenant_id, id, project_id, is_unique, is_bot, verdict_version, landed_at,"
            " landing_url, click_id) VALUES ($1, $2, $3, true, false, 2, now(), 'https://a.example', $4)",
            TENANT,
            VISIT,
            PROJECT,
            str(CLICK),
        )
        project = subjects_of(TENANT, link=None, project_id=PROJECT, campaign=None)
        await count(pool, project, VISIT, {}, Counts(visits=1, human_visits=1))
    elif table == "page click":
        await insert_page_click(pool, str(VISIT))
    else:
        await insert_click(pool, CLICK)


async def insert_page_click(pool: Pool, visit_id: str | None) -> None:
    await pool.execute(
        "INSERT INTO clicks (tenant_id, id, project_id, visit_id, click_id, is_prefetch, is_bot,"
        " is_conversion, verdict_version, landed_at)"
        " VALUES ($1, $2, $3, $4, 'offer', false, false, false, 2, now())",
        TENANT,
        PAGE_CLICK,
        PROJECT,
        visit_id,
    )
    project = subjects_of(TENANT, link=None, project_id=PROJECT, campaign=None)
    await count(pool, project, PAGE_CLICK, {}, Counts(page_clicks=1))


async def insert_click(pool: Pool, click_id: uuid.UUID, word: str | None = None) -> None:
    """Land a click of the link, which others call `word`."""
    await pool.execute(
        "INSERT INTO clicks (tenant_id, id, link_id, variant_id, project_id, click_id, country, utm_campaign,"
        " is_prefetch, is_bot, is_conversion, verdict_version, landed_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'BR', 'spring', false, false, false, 2, now())",
        TENANT,
        click_id,
        LINK,
        VARIANT,
        PROJECT,
        word,
    )
    await pool.execute(
        "INSERT INTO click_totals AS kept VALUES ($1, $2, $3, 1, 0, 0, 0)"
        " ON CONFLICT (tenant_id, link_id, variant_id) DO UPDATE SET clicks = kept.clicks + 1",
        TENANT,
        LINK,
        VARIANT,
    )
    subjects = subjects_of(TENANT, link=(LINK, VARIANT), project_id=PROJECT, campaign="spring")
    split = {Dimension.COUNTRY: "BR", Dimension.UTM_CAMPAIGN: "spring"}
    await count(pool, subjects, click_id, split, Counts(clicks=1, humans=1))


async def count(
    pool: Pool, subjects: list[Subject], event_id: uuid.UUID, split: dict[Dimension, str], counts: Counts
) -> None:
    changes = Changes()
    changes.count(subjects, id_time(event_id), split, counts)
    for subject in subjects:
        if subject.kind == SubjectKind.CAMPAIGN:
            changes.name_campaign(subject, PROJECT, "spring")
    async with pool.acquire() as db, db.transaction():
        await write_changes(db, changes)


async def join_all(pool: Pool) -> None:
    now = LATER
    for _ in range(20):
        if not await service.join_waiting(pool, now):
            return
        now += timedelta(minutes=6)


async def play(pool: Pool, steps: Sequence[Step], chance: random.Random | None = None) -> None:
    """Let everything arrive; events that follow one another come in batches."""
    batch: list[Conversion] = []
    for step in steps:
        if isinstance(step, str) or (chance is not None and chance.random() < 0.4):
            if batch:
                await land(pool, batch)
            batch = []
        if isinstance(step, str):
            await arrive(pool, step)
        else:
            batch.append(step)
    if batch:
        await land(pool, batch)
    await join_all(pool)


async def find_wrong(pool: Pool) -> list[Disagreement]:
    """Compare all sums with the rows."""
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        return [one async for one in find_disagreements(db)]


async def converted(pool: Pool) -> list[uuid.UUID]:
    """List the clicks that are marked as conversions."""
    return [row["id"] for row in await pool.fetch("SELECT id FROM clicks WHERE is_conversion ORDER BY id")]


async def read_end(pool: Pool) -> dict[str, Any]:
    """Read all that must not depend on the order."""
    conversions = await pool.fetch(
        "SELECT kind, external_id, status, rejection, refunded_minor, upsold_minor,"
        " target_id IS NOT NULL AS has_target, attributed_click, link_id, variant_id, clicked_at"
        " FROM conversions ORDER BY kind, external_id"
    )
    return {
        "conversions": [dict(row) for row in conversions],
        "clicks": [
            tuple(row) for row in await pool.fetch("SELECT id, is_conversion FROM clicks ORDER BY id")
        ],
        "totals": [tuple(row) for row in await pool.fetch("SELECT * FROM click_totals")],
        **{
            table: [
                tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} WHERE {some} ORDER BY {table}")
            ]
            for table, some in {
                "traffic_slots": "(conversions, checkouts, sales) <> (0, 0, 0)",
                "traffic_days": "conversions <> 0",
                "revenue_slots": "(sales, gross_minor, upsold_minor, refunded_minor) <> (0, 0, 0, 0)",
            }.items()
        },
    }


STORY: tuple[Step, ...] = (
    "clicks",
    "visits",
    "page click",
    report(1, CHECKOUT, "c1", click_id=str(CLICK)),
    report(2, SALE, "s1", click_id=str(CLICK), amount_minor=5000, commission_minor=500, checkout_id="c1"),
    report(3, SALE, "s2", visit_id=str(VISIT), amount_minor=2000),
    report(4, SALE, "s3", click_id="offer", amount_minor=700, status="pending"),
    report(5, UPSELL, "u1", parent_sale_id="s1", amount_minor=900),
    report(6, REFUND, "r1", sale_id="s1", amount_minor=1500),
    report(7, REFUND, "r2", sale_id="u1", amount_minor=400),
    report(8, REFUND, "r3", sale_id="s2", amount_minor=2000, is_chargeback=True),
    report(9, SALE, "s4", amount_minor=100),
    report(10, SALE, "s5", click_id="nobody's", amount_minor=200, parent_sale_id="s1"),
    report(11, SALE, "s6", click_id="the network's own", visit_id=str(VISIT), amount_minor=300),
    report(12, SALE, "s7", amount_minor=400, status="pending"),
    report(13, REFUND, "r4", sale_id="s7", amount_minor=400),
    report(14, SALE, "s7", amount_minor=400, status="rejected"),
    report(15, CHECKOUT, "c2", status="pending"),
    report(16, CHECKOUT, "c2", status="abandoned"),
    report(17, CHECKOUT, "c2", status="rejected"),
)


async def empty(pool: Pool) -> None:
    for table in (
        "conversions",
        "clicks",
        "visits",
        "click_totals",
        "traffic_slots",
        "traffic_days",
        "revenue_slots",
        "campaigns",
    ):
        await pool.execute(f"DELETE FROM {table}")


class TestOrder:
    async def test_the_natural_order_ends_as_it_should(self, db_pool: Pool) -> None:
        await play(db_pool, STORY)
        end = await read_end(db_pool)
        rows = {row["external_id"]: row for row in end["conversions"]}
        assert (rows["s1"]["refunded_minor"], rows["s1"]["upsold_minor"]) == (1500, 900)
        assert (rows["u1"]["refunded_minor"], rows["s2"]["refunded_minor"]) == (400, 2000)
        statuses = {name: row["status"] for name, row in rows.items() if row["status"] != "completed"}
        assert statuses == {"s3": "pending", "s7": "rejected", "c2": "rejected"}
        for name in ("c1", "s1", "s2", "s3", "s6", "u1", "r1", "r2", "r3"):
            assert (rows[name]["attributed_click"], rows[name]["link_id"]) == (CLICK, LINK)
        assert rows["s4"]["attributed_click"] is rows["s5"]["attributed_click"] is None
        assert rows["s5"]["has_target"]
        assert end["clicks"] == [(CLICK, True), (PAGE_CLICK, False)]
        assert end["totals"] == [(TENANT, LINK, VARIANT, 1, 0, 0, 1)]
        money = await db_pool.fetchrow(
            "SELECT sum(sales), sum(gross_minor), sum(upsold_minor), sum(refunded_minor),"
            " sum(commission_minor) FROM revenue_slots WHERE subject = $1 AND dimension = 0",
            LINK,
        )
        assert tuple(money or ()) == (3, 7300, 900, 3900, 500)
        counts = await db_pool.fetchrow(
            "SELECT sum(conversions), sum(checkouts), sum(sales) FROM traffic_slots WHERE subject = $1", LINK
        )
        assert tuple(counts or ()) == (1, 1, 4)
        assert await db_pool.fetchval("SELECT sum(sales) FROM traffic_slots WHERE subject = $1", PROJECT) == 6
        assert await find_wrong(db_pool) == []

    @pytest.mark.parametrize("seed", range(20))
    async def test_any_order_ends_like_the_natural_one(self, db_pool: Pool, seed: int) -> None:
        await play(db_pool, STORY)
        expected = await read_end(db_pool)
        await empty(db_pool)
        chance = random.Random(seed)
        repeated = [step for step in STORY if not isinstance(step, str) and chance.random() < 0.3]
        steps = [*STORY, *repeated]
        chance.shuffle(steps)
        await play(db_pool, steps, chance)
        assert await read_end(db_pool) == expected
        assert await find_wrong(db_pool) == []


class TestRepeats:
    async def test_a_report_counts_once(self, db_pool: Pool) -> None:
        sale = report(1, SALE, "s1")
        again = report(2, SALE, "s1", amount_minor=9)
        landed = await land(db_pool, [sale, again])
        landed += await land(db_pool, [again])
        assert [one.outcome for one in landed] == [Outcome.CREATED, Outcome.EXISTING, Outcome.EXISTING]
        assert {one.row.amount_minor for one in landed if one.row} == {1000}
        assert await db_pool.fetchval("SELECT count(*) FROM conversions") == 1
        assert await db_pool.fetchval("SELECT sum(sales) FROM traffic_slots") == 1

    @pytest.mark.parametrize(
        ("statuses", "status", "gross"),
        [
            (("pending", "completed"), "completed", 1000),
            (("pending", "rejected"), "rejected", 0),
            (("completed", "rejected"), "rejected", 0),
            (("completed", "pending"), "completed", 1000),
            (("rejected", "completed"), "rejected", 0),
        ],
    )
    async def test_a_repeat_moves_the_status_on(
        self, db_pool: Pool, statuses: tuple[str, ...], status: str, gross: int
    ) -> None:
        await arrive(db_pool, "clicks")
        for number, reported in enumerate(statuses):
            await land(db_pool, [report(number, SALE, "s1", status=reported, click_id=str(CLICK))])
        assert await db_pool.fetchval("SELECT status FROM conversions") == status
        total = await db_pool.fetchval(
            "SELECT sum(gross_minor) FROM revenue_slots WHERE dimension = 0 AND subject_kind = 1"
        )
        assert (total or 0) == gross
        is_conversion = status != "rejected"
        assert await db_pool.fetchval("SELECT is_conversion FROM clicks") is is_conversion
        assert await db_pool.fetchval("SELECT conversions FROM click_totals") == is_conversion

    async def test_a_refund_that_is_rejected_gives_back_what_it_took(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "s1"), report(2, REFUND, "r1", sale_id="s1", amount_minor=800)])
        await land(db_pool, [report(3, REFUND, "r1", sale_id="s1", amount_minor=800, status="rejected")])
        await land(db_pool, [report(4, REFUND, "r2", sale_id="s1", amount_minor=1000)])
        rows = await db_pool.fetch("SELECT external_id, status, refunded_minor FROM conversions ORDER BY 1")
        assert [tuple(row) for row in rows] == [
            ("r1", "rejected", 0),
            ("r2", "completed", 0),
            ("s1", "completed", 1000),
        ]
        assert (
            await db_pool.fetchval("SELECT sum(refunded_minor) FROM revenue_slots WHERE dimension = 0")
            == 1000
        )


class TestRefunds:
    async def test_they_never_exceed_the_sale(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "s1")])
        refunds = [report(10 + n, REFUND, f"r{n}", sale_id="s1", amount_minor=300) for n in range(50)]
        await asyncio.gather(*(land(db_pool, [refund]) for refund in refunds))
        assert await db_pool.fetchval("SELECT refunded_minor FROM conversions WHERE kind = 2") == 900
        statuses = await db_pool.fetch(
            "SELECT status, count(*) FROM conversions WHERE kind = 3 GROUP BY 1 ORDER BY 1"
        )
        assert [tuple(row) for row in statuses] == [("completed", 3), ("rejected", 47)]
        assert (
            await db_pool.fetchval("SELECT sum(refunded_minor) FROM revenue_slots WHERE dimension = 0") == 900
        )

    async def test_another_currency_is_rejected_with_a_reason(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "s1"), report(2, REFUND, "r1", sale_id="s1", currency="EUR")])
        row = await db_pool.fetchrow("SELECT status, rejection FROM conversions WHERE kind = 3")
        assert tuple(row or ()) == ("rejected", "currency is USD for what it belongs to")

    async def test_ids_of_ours_name_a_sale_too(self, db_pool: Pool) -> None:
        sale = report(1, SALE, "s1")
        await land(db_pool, [sale])
        await land(
            db_pool, [report(2, REFUND, "r1", sale_id=str(uuid.UUID(bytes=sale.id)).upper(), amount_minor=1)]
        )
        assert await db_pool.fetchval("SELECT refunded_minor FROM conversions WHERE kind = 2") == 1


class TestRefusals:
    async def test_one_unknown_project_does_not_hold_up_the_others(self, db_pool: Pool) -> None:
        landed = await land(db_pool, [report(1, SALE, "a", project=LINK), report(2, SALE, "b")])
        assert [one.outcome for one in landed] == [Outcome.UNKNOWN_PROJECT, Outcome.CREATED]

    @pytest.mark.parametrize(
        "facts",
        [{"status": "x"}, {"currency": "XXX"}, {"amount_minor": -1}, {"amount_minor": 2**60}],
        ids=str,
    )
    async def test_what_no_intake_lets_through_is_told(self, db_pool: Pool, facts: dict[str, Any]) -> None:
        landed = await land(db_pool, [report(1, SALE, "a", **facts), report(2, SALE, "b")])
        assert [one.outcome for one in landed] == [Outcome.UNREADABLE, Outcome.CREATED]

    async def test_an_id_that_is_taken_by_another_conversion_is_told(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "a")])
        landed = await land(db_pool, [report(1, SALE, "b")])
        assert [one.outcome for one in landed] == [Outcome.UNREADABLE]
        assert await db_pool.fetchval("SELECT sum(sales) FROM traffic_slots") == 1

    async def test_a_zero_character_does_not_stop_a_report(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "a\0", reason="\0")])
        assert await db_pool.fetchval("SELECT external_id FROM conversions") == "a\N{REPLACEMENT CHARACTER}"


class TestWaiting:
    async def test_what_is_waited_for_is_looked_for_less_and_less_often(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "s1", click_id=str(CLICK))])
        now, pauses = NOON, []
        for _ in range(11):
            due = await db_pool.fetchval("SELECT next_look_at FROM conversions")
            pauses.append((due - now).total_seconds())
            assert await service.join_waiting(db_pool, due - timedelta(milliseconds=1)) == 0
            assert await service.join_waiting(db_pool, due) == 1
            now = due
        assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]

    async def test_two_joiners_do_the_work_once(self, db_pool: Pool) -> None:
        await land(db_pool, [report(n, SALE, f"s{n}", click_id=str(CLICK)) for n in range(20)])
        await arrive(db_pool, "clicks")
        await asyncio.gather(*(service.join_waiting(db_pool, LATER) for _ in range(8)))
        sums = await db_pool.fetchrow(
            "SELECT sum(sales), sum(conversions) FROM traffic_slots WHERE subject_kind = 1"
        )
        assert tuple(sums or ()) == (20, 1)
        assert await db_pool.fetchval("SELECT sum(sales) FROM traffic_slots WHERE subject_kind = 2") == 20


class TestClicksOfPages:
    """A click on a page is marked; of what sums call clicks it is no part."""

    async def test_one_that_nothing_led_to_is_no_click_that_converted(self, db_pool: Pool) -> None:
        await insert_page_click(db_pool, None)
        await land(db_pool, [report(1, SALE, "s", click_id="offer")])
        assert await db_pool.fetchval("SELECT is_conversion FROM clicks")
        assert await db_pool.fetchval("SELECT sum(conversions) FROM traffic_slots") == 0
        assert await find_wrong(db_pool) == []

    async def test_one_whose_visit_is_late_gives_what_it_brought_to_the_link(self, db_pool: Pool) -> None:
        await insert_page_click(db_pool, str(VISIT))
        await land(db_pool, [report(1, SALE, "s", click_id="offer")])
        now = await db_pool.fetchrow("SELECT attributed_click, waits_for FROM conversions")
        assert tuple(now or ()) == (PAGE_CLICK, "visit")
        await arrive(db_pool, "clicks")
        await arrive(db_pool, "visits")
        await join_all(db_pool)
        now = await db_pool.fetchrow("SELECT attributed_click, waits_for FROM conversions")
        assert tuple(now or ()) == (CLICK, None)
        assert await converted(db_pool) == [CLICK]
        assert await find_wrong(db_pool) == []


class TestVisits:
    async def test_a_click_that_never_comes_leaves_it_to_the_visit(self, db_pool: Pool) -> None:
        await arrive(db_pool, "clicks")
        await arrive(db_pool, "visits")
        await land(db_pool, [report(1, SALE, "s", click_id="the network's", visit_id=str(VISIT))])
        found = await db_pool.fetchrow("SELECT attributed_click, waits_for FROM conversions")
        assert tuple(found or ()) == (CLICK, "click")

    async def test_the_click_that_was_named_comes_first_when_it_comes(self, db_pool: Pool) -> None:
        await arrive(db_pool, "clicks")
        await arrive(db_pool, "visits")
        await land(db_pool, [report(1, SALE, "s", click_id="named", visit_id=str(VISIT))])
        named = uuid.UUID(int=CLICK.int + 7)
        await insert_click(db_pool, named, "named")
        await join_all(db_pool)
        found = await db_pool.fetchrow("SELECT attributed_click, waits_for FROM conversions")
        assert tuple(found or ()) == (named, None)
        assert await db_pool.fetchval("SELECT conversions FROM click_totals") == 1
        assert await converted(db_pool) == [named]
        assert await find_wrong(db_pool) == []


class TestNetRevenue:
    async def net_of(self, pool: Pool, external_id: str) -> int:
        sale_id = await pool.fetchval(
            "SELECT id FROM conversions WHERE kind = 2 AND external_id = $1", external_id
        )
        async with pool.acquire() as db, db.transaction():
            return (await service.fetch_conversion(db, TENANT, SALE, sale_id)).net_minor

    async def test_a_sale_that_names_a_parent_is_a_sale_of_its_own(self, db_pool: Pool) -> None:
        await land(
            db_pool,
            [
                report(1, SALE, "s", amount_minor=5000),
                report(2, SALE, "later", amount_minor=200, parent_sale_id="s"),
                report(3, REFUND, "r", amount_minor=200, sale_id="later"),
            ],
        )
        assert (await self.net_of(db_pool, "s"), await self.net_of(db_pool, "later")) == (5000, 0)

    async def test_an_upsell_that_is_rejected_takes_its_refunds_along(self, db_pool: Pool) -> None:
        sold = [
            report(1, SALE, "s", amount_minor=5000),
            report(2, UPSELL, "u", amount_minor=900, sale_id="s"),
            report(3, REFUND, "r", amount_minor=400, sale_id="u"),
        ]
        await land(db_pool, sold)
        assert await self.net_of(db_pool, "s") == 5500
        await land(db_pool, [report(4, UPSELL, "u", amount_minor=900, sale_id="s", status="rejected")])
        assert await self.net_of(db_pool, "s") == 5000
        assert await db_pool.fetchval("SELECT refunded_minor FROM revenue_slots") == 0
        assert await find_wrong(db_pool) == []

    async def test_another_upsell_leaves_the_others_alone(self, db_pool: Pool) -> None:
        many = [report(number, UPSELL, f"u{number}", sale_id="s") for number in range(2, 50)]
        await land(db_pool, [report(1, SALE, "s"), *many])
        await db_pool.execute("UPDATE conversions SET updated_at = 'epoch'")
        await land(db_pool, [report(60, UPSELL, "u60", sale_id="s")])
        touched = await db_pool.fetch(
            "SELECT external_id FROM conversions WHERE updated_at > 'epoch' ORDER BY external_id"
        )
        assert [row["external_id"] for row in touched] == ["s", "u60"]


class TestTwoAtOnce:
    async def test_fifty_refunds_never_exceed_the_sale(self, db_pool: Pool) -> None:
        await land(db_pool, [report(1, SALE, "s", amount_minor=1000)])
        refunds = [report(2 + n, REFUND, f"r{n}", sale_id="s", amount_minor=30) for n in range(50)]
        await asyncio.gather(*(land(db_pool, [refund]) for refund in refunds))
        completed = await db_pool.fetchval(
            "SELECT count(*) FROM conversions WHERE kind = 3 AND status = 'completed'"
        )
        assert completed == 33
        assert await db_pool.fetchval("SELECT refunded_minor FROM conversions WHERE kind = 2") == 990
        assert await find_wrong(db_pool) == []


class TestTheCheck:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE conversions SET refunded_minor = refunded_minor + 1 WHERE external_id = 's1'",
            "UPDATE conversions SET upsold_minor = upsold_minor + 1 WHERE external_id = 's1'",
            "UPDATE traffic_slots SET checkouts = checkouts + 1 WHERE subject_kind = 1",
            "UPDATE traffic_slots SET sales = sales + 1 WHERE subject_kind = 3",
            "UPDATE traffic_slots SET conversions = conversions + 1 WHERE subject_kind = 3",
            "UPDATE traffic_slots SET visits = visits + 1 WHERE subject_kind = 3",
            "UPDATE traffic_slots SET page_clicks = page_clicks + 1 WHERE subject_kind = 2",
            "UPDATE traffic_days SET uniques = uniques + 1 WHERE subject_kind = 2 AND dimension = 1",
            "UPDATE traffic_days SET human_visits = human_visits + 1 WHERE subject_kind = 3",
            "UPDATE click_totals SET bots = bots + 1",
            "UPDATE revenue_slots SET gross_minor = gross_minor + 1 WHERE subject_kind = 1 AND dimension = 0",
            "UPDATE revenue_slots SET refunded_minor = refunded_minor + 1 WHERE subject_kind = 3",
            "UPDATE revenue_slots SET commission_minor = commission_minor + 1 WHERE dimension = 1",
        ],
    )
    async def test_finds_what_is_wrong(self, db_pool: Pool, statement: str) -> None:
        await play(db_pool, STORY)
        assert await find_wrong(db_pool) == []
        assert await db_pool.execute(statement) != "UPDATE 0"
        assert await find_wrong(db_pool) != []
