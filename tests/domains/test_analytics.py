"""Whatever is asked, the answer is what the rows say."""

from __future__ import annotations

import collections
import itertools
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
import pytest
import uuid_utils

from control_plane.core.errors import Invalid
from control_plane.core.ids import id_time
from control_plane.core.page import StretchRequest
from control_plane.db.pool import enter_tenant, open_pool
from control_plane.domains.analytics import service
from control_plane.domains.analytics.errors import CampaignNotFound
from control_plane.domains.analytics.model import Aspect, Range, SiteAspect, Topic, estimate_proportion
from control_plane.domains.analytics.ranges import QUARTER, find_zone
from control_plane.domains.traffic.model import SubjectKind, campaign_id
from control_plane.settings import Settings
from edge.contract.events import Click, Conversion, ConversionKind, PageClick, Reason, Visit
from tests.pipeline.test_landing import run_until_drained, ship
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from redis.asyncio import Redis

    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.analytics.model import Counts, Figures, Interval, Measure, Revenue
    from edge.contract.events import Event

TENANT, PROJECT, OTHER_PROJECT = (uuid.UUID(int=number) for number in (1, 2, 3))
LINKS = (uuid.UUID(int=11), uuid.UUID(int=12))
VARIANTS = {link: [uuid.UUID(int=link.int * 10 + number) for number in range(3)] for link in LINKS}
START, DAYS = datetime(2026, 3, 26, tzinfo=UTC), 12
"""Clocks change in Berlin on March 29, and in Lord Howe by half an hour on April 5 (local time)."""

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Asia/Kolkata",
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)
CAMPAIGNS = ("spring", "Spring", "x" * 300, "")
ASPECTS: tuple[SiteAspect, ...] = (
    *("country", "device", "browser", "os", "referrer_domain"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
)
COUNTS: tuple[Measure, ...] = (
    *("clicks", "uniques", "humans", "human_uniques", "conversions", "human_conversions"),
    *("visits", "human_visits"),
)
TOTALS = (*COUNTS, "page_clicks", "checkouts", "sales")
MONEY = ("sales", "gross_minor", "upsold_minor", "refunded_minor", "commission_minor")

Money: TypeAlias = dict[str, tuple[int, ...]]


class Atom(msgspec.Struct, frozen=True):
    """What one row counts for, worked out from the rows alone."""

    moment: datetime
    subjects: frozenset[uuid.UUID]
    variant: uuid.UUID | None
    split: dict[str, str]
    counts: dict[str, int]
    currency: str | None = None
    money: tuple[int, ...] = (0,) * 5


class Traffic:
    """Events of every kind, made by chance."""

    def __init__(self, seed: int) -> None:
        self._chance = chance = random.Random(seed)
        self.clicks = [self._make_click() for _ in range(500)]
        self.visits = [self._make_visit() for _ in range(250)]
        self.page_clicks = [self._make_page_click() for _ in range(80)]
        sales = [self._make_conversion(ConversionKind.SALE, n) for n in range(160)]
        upsells = [
            self._make_conversion(ConversionKind.UPSELL, n, sale_id=f"2-{chance.randrange(160)}")
            for n in range(40)
        ]
        refunds = [
            self._make_conversion(
                ConversionKind.REFUND, n, sale_id=f"{chance.choice('24')}-{chance.randrange(160)}"
            )
            for n in range(90)
        ]
        checkouts = [self._make_conversion(ConversionKind.CHECKOUT, n) for n in range(120)]
        self.conversions = [*sales, *upsells, *refunds, *checkouts]

    def shuffle(self) -> list[list[Event]]:
        """Give all events in some order, cut into chunks."""
        events: list[Event] = [*self.clicks, *self.visits, *self.page_clicks, *self.conversions]
        self._chance.shuffle(events)
        return [events[first : first + 150] for first in range(0, len(events), 150)]

    def _make_id(self) -> bytes:
        ms = int(START.timestamp() * 1000) + self._chance.randrange(DAYS * 86_400_000)
        if self._chance.random() < 0.2:
            ms -= ms % 900_000  # on the edge of a slot
        return uuid_utils.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | self._chance.getrandbits(60)).bytes

    def _query(self) -> str:
        chance = self._chance
        parts = {
            "utm_source": chance.choice(("mail", "google", "")),
            "utm_medium": chance.choice(("cpc", "")),
            "utm_campaign": chance.choice(CAMPAIGNS),
            "utm_content": chance.choice(("a", "b", "")),
            "utm_term": f"term{int(30 * chance.random() ** 2)}" if chance.random() < 0.7 else "",
        }
        return "&".join(f"{name}={value}" for name, value in parts.items() if value)

    def _make_click(self) -> Click:
        chance = self._chance
        link = chance.choice(LINKS)
        return Click(
            id=self._make_id(),
            tenant_id=TENANT.bytes,
            link_id=link.bytes,
            variant_id=chance.choice(VARIANTS[link]).bytes,
            link_version=1,
            reason=Reason.WEIGHT,
            ip=f"84.128.0.{chance.randrange(40)}",
            country=chance.choice(("BR", "DE", "US", "US", "")),
            referrer=chance.choice(("", "https://news.example/a", "https://www.search.example/")),
            user_agent=chance.choice(AGENTS),
            query=self._query(),
            prefetch=chance.random() < 0.05,
            project_id=PROJECT.bytes if link == LINKS[0] or chance.random() < 0.3 else b"",
        )

    def _make_visit(self) -> Visit:
        click = self._chance.choice(self.clicks)
        return Visit(
            id=self._make_id(),
            tenant_id=TENANT.bytes,
            project_id=PROJECT.bytes,
            click_id=str(uuid.UUID(bytes=click.id)) if self._chance.random() < 0.6 else "",
            client_id="",
            landing_url=f"https://shop.example/?{self._query()}",
            referrer="",
            ip=click.ip,
            country=click.country,
            user_agent=click.user_agent,
        )

    def _make_page_click(self) -> PageClick:
        visit = self._chance.choice(self.visits)
        return PageClick(
            id=self._make_id(),
            tenant_id=TENANT.bytes,
            project_id=PROJECT.bytes,
            click_id="",
            visit_id=str(uuid.UUID(bytes=visit.id)),
            target_url="https://pay.example/",
            element_type="a",
            element_text="Buy",
            page_url=visit.landing_url,
            ip=visit.ip,
            country=visit.country,
            user_agent=visit.user_agent,
        )

    def _make_conversion(self, kind: ConversionKind, number: int, *, sale_id: str = "") -> Conversion:
        chance = self._chance
        sources: tuple[Sequence[Click | PageClick | Visit], ...] = (
            *(self.clicks, self.clicks, self.page_clicks, self.visits),
            (),
        )
        brought = chance.choice(sources)
        named = str(uuid.UUID(bytes=chance.choice(brought).id)) if brought else ""
        return Conversion(
            id=self._make_id(),
            tenant_id=TENANT.bytes,
            project_id=(PROJECT if kind is not ConversionKind.SALE or number % 9 else OTHER_PROJECT).bytes,
            kind=kind,
            external_id=f"{kind.value}-{number}",
            status=chance.choice(("completed", "completed", "completed", "pending")),
            amount_minor=chance.randrange(100, 5000),
            commission_minor=chance.randrange(100),
            currency=chance.choice(("USD", "USD", "USD", "JPY")),
            source="postback",
            visit_id=named if brought is self.visits else "",
            click_id=named if brought is not self.visits else "",
            sale_id=sale_id,
        )


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)


@pytest.fixture
async def db_pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=4)
    await pool.execute(
        "INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'a', 'free', now())", TENANT
    )
    for project in (PROJECT, OTHER_PROJECT):
        await pool.execute(
            "INSERT INTO projects (tenant_id, id, name, created_at, updated_at)"
            " VALUES ($1, $2, 'a', now(), now())",
            TENANT,
            project,
        )
    yield pool
    await pool.close()


async def read_atoms(pool: Pool) -> list[Atom]:
    """Work out from the rows what each of them counts for."""
    clicks = {row["id"]: row for row in await pool.fetch("SELECT * FROM clicks")}
    atoms = [read_click(row) for row in clicks.values()]
    for row in await pool.fetch("SELECT * FROM visits"):
        counts = {"visits": 1, "human_visits": int(not row["is_bot"])}
        atoms.append(Atom(id_time(row["id"]), name_subjects(row), None, read_split(row), counts))
    rows = {row["id"]: row for row in await pool.fetch("SELECT * FROM conversions")}
    return [*atoms, *(atom for row in rows.values() if (atom := read_conversion(row, rows, clicks)))]


def read_click(row: Any) -> Atom:
    human = not row["is_bot"]
    if row["link_id"] is None:
        counts = {"page_clicks": 1}
    else:
        counts = {
            "clicks": 1,
            "uniques": int(row["is_unique"]),
            "humans": int(human),
            "human_uniques": int(row["is_unique"] and human),
            "conversions": int(row["is_conversion"]),
            "human_conversions": int(row["is_conversion"] and human),
        }
    return Atom(id_time(row["id"]), name_subjects(row), row["variant_id"], read_split(row), counts)


def read_conversion(row: Any, rows: dict[uuid.UUID, Any], clicks: dict[uuid.UUID, Any]) -> Atom | None:
    """A refund or upsell counts with its sale; where that does not count, neither does it."""
    chain = [row]
    while chain[-1]["kind"] in {3, 4}:
        target = rows.get(chain[-1]["target_id"])
        if target is None:
            return None
        chain.append(target)
    root = chain[-1]
    if row["status"] == "rejected":
        return None
    click = clicks.get(root["attributed_click"])
    moment = id_time(root["attributed_click"]) if root["attributed_click"] else id_time(root["id"])
    amount, commission = row["amount_minor"], row["commission_minor"]
    money: dict[int, tuple[int, ...]] = {}
    if all(one["status"] == "completed" for one in chain):
        money = {2: (1, amount, 0, 0, commission), 3: (0, 0, 0, amount, 0), 4: (0, 0, amount, 0, commission)}
    subjects = {row["project_id"]}
    if click is not None:
        subjects |= name_subjects({**click, "project_id": row["project_id"]})
    return Atom(
        moment,
        frozenset(subjects),
        click["variant_id"] if click else None,
        read_split(click) if click else {},
        {1: {"checkouts": 1}, 2: {"sales": 1}}.get(row["kind"], {}),
        row["currency"] if row["kind"] in money else None,
        money.get(row["kind"], (0,) * 5),
    )


def name_subjects(row: Any) -> frozenset[uuid.UUID]:
    subjects = {row["project_id"]} | ({row["link_id"]} if "link_id" in row.keys() else set())  # noqa: SIM118
    if row["project_id"] and row["utm_campaign"]:
        subjects.add(campaign_id(row["project_id"], row["utm_campaign"][:255]))
    return frozenset(subjects - {None})


def read_split(row: Any) -> dict[str, str]:
    return {aspect: row[aspect][:255] for aspect in ASPECTS if row[aspect]}


def count(atoms: Iterable[Atom], names: Iterable[str]) -> dict[str, int]:
    counter: collections.Counter[str] = collections.Counter()
    for atom in atoms:
        counter.update(atom.counts)
    return {name: counter[name] for name in names}


def add_money(atoms: Iterable[Atom]) -> Money:
    money: dict[str, tuple[int, ...]] = {}
    for atom in atoms:
        if atom.currency:
            old = money.get(atom.currency, (0,) * 5)
            money[atom.currency] = tuple(map(sum, zip(old, atom.money, strict=True)))
    return {currency: amounts for currency, amounts in money.items() if any(amounts)}


def show_money(revenue: list[Revenue]) -> Money:
    return {one.currency: tuple(getattr(one, name) for name in MONEY) for one in revenue}


def show_counts(counts: Counts, names: Iterable[str]) -> dict[str, int]:
    return {name: getattr(counts, name) for name in names}


def assert_same(figures: Figures, atoms: list[Atom], what: object) -> None:
    assert show_counts(figures.totals, TOTALS) == count(atoms, TOTALS), what
    assert show_money(figures.revenue) == add_money(atoms), what


def draw_range(chance: random.Random) -> Range:
    quarters = DAYS * 96
    first, last = sorted(chance.sample(range(-96, quarters + 96), 2))
    if chance.random() < 0.3:
        last = min(last, first + chance.randrange(1, 200))
    zone = ZoneInfo(chance.choice(ZONES))
    return Range(START + first * QUARTER, START + last * QUARTER, zone)


TOPICS = [
    *(Topic(tenant_id=TENANT, kind=SubjectKind.LINK, id=link) for link in LINKS),
    *(
        Topic(tenant_id=TENANT, kind=SubjectKind.PROJECT, id=project, project_id=project)
        for project in (PROJECT, OTHER_PROJECT)
    ),
    *(
        Topic(
            tenant_id=TENANT,
            kind=SubjectKind.CAMPAIGN,
            id=campaign_id(PROJECT, name[:255]),
            project_id=PROJECT,
            campaign=name[:255],
        )
        for name in CAMPAIGNS[:3]
    ),
]


@pytest.mark.parametrize("seed", range(3))
async def test_every_answer_is_what_the_rows_say(
    db_pool: Pool, redis: Redis, settings: Settings, seed: int
) -> None:
    chance = random.Random(seed)
    await ship(redis, Traffic(seed).shuffle())
    await run_until_drained(redis, settings)

    async def are_joined() -> bool:
        return not await db_pool.fetchval(
            "SELECT count(*) FROM conversions WHERE waits_for IN ('click', 'visit')"
        )

    if not await are_joined():
        await run_until_drained(redis, settings)
    await eventually(are_joined)
    atoms = await read_atoms(db_pool)
    assert len(atoms) > 1000
    assert any(atom.currency and not atom.split for atom in atoms)
    async with db_pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        await db.execute("SET LOCAL ROLE switchyard_api")
        await enter_tenant(db, TENANT)
        for _ in range(60):
            topic, span = chance.choice(TOPICS), draw_range(chance)
            within = [
                atom for atom in atoms if topic.id in atom.subjects and span.start <= atom.moment < span.until
            ]
            await check_totals(db, topic, span, within)
            await check_buckets(db, topic, span, within, chance)
            await check_values(db, topic, span, within, chance)
            await check_funnel(db, topic, span, within)


async def check_totals(db: Connection, topic: Topic, span: Range, atoms: list[Atom]) -> None:
    assert_same(await service.sum_up(db, topic, span), atoms, (topic, span))
    if topic.kind is SubjectKind.LINK:
        figures, variants = await service.sum_up_link(db, topic, span)
        assert_same(figures, atoms, (topic, span))
        for one in variants:
            of_variant = [atom for atom in atoms if atom.variant == one.variant_id]
            assert_same(one.figures, of_variant, (topic, span, one.variant_id))
        assert {atom.variant for atom in atoms} <= {one.variant_id for one in variants}


async def check_buckets(
    db: Connection, topic: Topic, span: Range, atoms: list[Atom], chance: random.Random
) -> None:
    intervals: tuple[Interval, ...] = ("hour", "day", "week", "month")
    interval = chance.choice(intervals)
    buckets = await service.list_buckets(db, topic, span, interval)
    assert [buckets[0].start, buckets[-1].until] == [span.start, span.until]
    for one, following in itertools.pairwise(buckets):
        assert one.until == following.start
        check_bounds(one.start, one.until, interval)
    for bucket in buckets:
        within = [atom for atom in atoms if bucket.start <= atom.moment < bucket.until]
        assert_same(bucket.figures, within, (topic, span, interval, bucket.start))


def check_bounds(start: datetime, until: datetime, interval: Interval) -> None:
    """A piece of the calendar ends where another begins. When clocks change, hours may be cut short."""
    first, end = start.astimezone(UTC), until.astimezone(UTC)
    if interval == "hour":
        assert timedelta() < end - first <= timedelta(hours=1)
        assert until.minute == 0 or start.utcoffset() != until.utcoffset()
        return
    names = {"day": "%F", "week": "%G %V", "month": "%Y %m"}[interval]
    last = (end - timedelta(microseconds=1)).astimezone(until.tzinfo)
    assert start.strftime(names) == last.strftime(names)
    assert last.strftime(names) != until.strftime(names)


async def check_values(
    db: Connection, topic: Topic, span: Range, atoms: list[Atom], chance: random.Random
) -> None:
    aspects: list[Aspect] = [*ASPECTS, *(("variant",) if topic.kind is SubjectKind.LINK else ())]
    aspect, limit = chance.choice(aspects), chance.choice((1, 2, 5, 100))
    sort: Measure = chance.choice(COUNTS)
    what = (topic, span, aspect, sort, limit)
    breakdown = await service.break_down(db, topic, span, aspect, sort=sort, limit=limit)
    by_value: dict[str | None, list[Atom]] = {}
    for atom in atoms:
        value = str(atom.variant) if aspect == "variant" else atom.split.get(aspect)
        by_value.setdefault(value, []).append(atom)
    counts = {
        value: count(some, COUNTS)
        for value, some in by_value.items()
        if value is not None and any(count(some, COUNTS).values())
    }
    ranked = sorted(counts, key=lambda value: (-counts[value][sort], value))
    if aspect != "variant":
        assert [one.value for one in breakdown.items] == ranked[:limit], what
        assert breakdown.other_values == len(ranked[limit:]), what
    listed = {one.value for one in breakdown.items}
    for one in breakdown.items:
        some = by_value.get(one.value, [])
        assert show_counts(one.counts, COUNTS) == count(some, COUNTS), what
        assert show_money(one.revenue) == add_money(some), what
    rest = [atom for value, some in by_value.items() if value not in {*listed, None} for atom in some]
    for part, some in (
        (breakdown.other, rest),
        (breakdown.unknown, by_value.get(None, [])),
        (breakdown.total, atoms),
    ):
        assert show_counts(part.counts, COUNTS) == count(some, COUNTS), what
        assert show_money(part.revenue) == add_money(some), what


async def check_funnel(db: Connection, topic: Topic, span: Range, atoms: list[Atom]) -> None:
    steps = {step.name: step for step in await service.build_funnel(db, topic, span)}
    totals = count(atoms, TOTALS)
    assert list(steps) == ["visits", "clicks", "checkouts", "sales"][topic.kind is SubjectKind.LINK :]
    assert {name: step.count for name, step in steps.items()} == {name: totals[name] for name in steps}
    assert steps["clicks"].humans == totals["humans"]
    wanted = totals["checkouts"] / totals["humans"] if totals["humans"] else None
    assert steps["checkouts"].rate_of_previous == wanted
    first = totals["humans"] if topic.kind is SubjectKind.LINK else totals["human_visits"]
    assert steps["sales"].rate_of_first == (totals["sales"] / first if first else None)


class TestCampaigns:
    async def test_they_are_listed_by_name_with_their_traffic(
        self, db_pool: Pool, redis: Redis, settings: Settings
    ) -> None:
        await ship(redis, Traffic(5).shuffle())
        await run_until_drained(redis, settings)
        atoms = await read_atoms(db_pool)
        span = Range(START, START + timedelta(days=DAYS), ZoneInfo("UTC"))
        async with db_pool.acquire() as db:
            pages = [
                await service.list_campaigns(
                    db, TENANT, PROJECT, span, StretchRequest(per_page=2, position=position)
                )
                for position in (0, 2, 4)
            ]
            campaign = await service.find_campaign(db, TENANT, PROJECT, campaign_id(PROJECT, "spring"))
            with pytest.raises(CampaignNotFound):
                await service.find_campaign(db, TENANT, OTHER_PROJECT, campaign_id(PROJECT, "spring"))
        assert campaign.campaign == "spring"
        assert [page.total for page in pages] == [3, 3, 3]
        listed = [one for page in pages for one in page.items]
        assert sorted(one.name for one in listed) == sorted(name[:255] for name in CAMPAIGNS if name)
        for one in listed:
            assert_same(one.figures, [atom for atom in atoms if one.id in atom.subjects], one.name)


class TestProportion:
    def test_it_is_wilsons(self) -> None:
        """Figures of Newcombe, Statistics in Medicine 17 (1998), table I."""
        for (successes, trials), (low, high) in {
            (81, 263): (0.2553, 0.3662),
            (15, 148): (0.0624, 0.1605),
            (0, 20): (0.0, 0.1611),
            (1, 29): (0.0061, 0.1718),
        }.items():
            found = estimate_proportion(successes, trials)
            assert found is not None
            assert (round(found.low, 4), round(found.high, 4)) == (low, high)

    def test_of_nothing_there_is_none(self) -> None:
        assert estimate_proportion(0, 0) is None

    def test_all_is_the_end_of_its_interval(self) -> None:
        found = estimate_proportion(7, 7)
        assert found is not None
        assert (found.value, found.high) == (1.0, 1.0)
        assert 0.6 < found.low < 0.7


async def test_too_many_buckets_are_refused(pool: Pool) -> None:
    zone = find_zone("UTC")
    assert zone is not None
    span = Range(START, START + timedelta(hours=2401), zone)
    async with pool.acquire() as db:
        with pytest.raises(Invalid) as refused:
            await service.list_buckets(db, TOPICS[0], span, "hour")
        assert len(await service.list_buckets(db, TOPICS[0], span, "day")) == 101
    assert str(refused.value) == (
        'interval must cut the range into at most 2400 buckets (by hour: 100 days), got "hour"'
    )
