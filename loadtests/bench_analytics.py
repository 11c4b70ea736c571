"""`./switchyard bench analytics`: how long questions about traffic take, and what Postgres reads for them.

A Postgres of its own, filled with 90 days of traffic (analytics_fill.py). Every question is asked as the
API asks it: by the same service, under the API's role, in a transaction of its own. Its queries are then
explained, and answers are compared with what is counted from the rows.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec
import orjson

from control_plane.core.ids import id_floor
from control_plane.db.migrate import migrate
from control_plane.db.pool import API_ROLE, enter_tenant, open_pool
from control_plane.domains.analytics import service
from control_plane.domains.analytics.model import Range, Topic
from control_plane.domains.analytics.ranges import find_day_start
from control_plane.domains.traffic.model import SubjectKind, campaign_id
from deploy.embedded import EmbeddedPostgres, RunningServer, make_server_folder
from deploy.process import StartFailed
from loadtests.analytics_fill import LINKS, PROJECT, TENANT, fill, link_id
from loadtests.environment import read_environment
from loadtests.measurements import AnalyticsCase, AnalyticsResults
from loadtests.report import publish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncpg.connection import LoggedQuery

    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.analytics.model import Aspect, Breakdown
    from loadtests.analytics_fill import Filled

TIMES: Final = 25
ENOUGH_FOR_PLANS: Final = 1_000_000
"""With fewer events, reading a small table from end to end is what the planner should do."""
EVENT_TABLES: Final = ("clicks", "visits", "conversions", "traffic_", "revenue_slots")
CAMPAIGN: Final = "campaign1"

HOT_LINK: Final = Topic(tenant_id=TENANT, kind=SubjectKind.LINK, id=link_id(0))
TAIL_LINK: Final = Topic(tenant_id=TENANT, kind=SubjectKind.LINK, id=link_id(LINKS - 1))
SITE: Final = Topic(tenant_id=TENANT, kind=SubjectKind.PROJECT, id=PROJECT, project_id=PROJECT)
HOT_CAMPAIGN: Final = Topic(
    tenant_id=TENANT,
    kind=SubjectKind.CAMPAIGN,
    id=campaign_id(PROJECT, CAMPAIGN),
    project_id=PROJECT,
    campaign=CAMPAIGN,
)
TOPICS: Final = {
    "hottest link": HOT_LINK,
    "coldest link": TAIL_LINK,
    "project": SITE,
    "campaign": HOT_CAMPAIGN,
}


class Question(msgspec.Struct, frozen=True):
    """What is asked, about what, and how."""

    name: str
    topic: str
    ask: Any
    """(connection) -> answer"""


class Scanned(msgspec.Struct):
    """What a plan reads: rows and blocks, and the tables that it reads from end to end."""

    rows: int = 0
    blocks: int = 0
    whole_tables: set[str] = msgspec.field(default_factory=set)
    nodes: set[str] = msgspec.field(default_factory=set)


def run(*, events: int, report: Path) -> None:
    """Measure, print, and render the report. Raises StartFailed when a plan or an answer is wrong."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as home:
        Path(home).chmod(0o711)
        folder = make_server_folder(Path(home) / "servers")
        postgres = RunningServer(EmbeddedPostgres(folder, secrets.token_hex(16)), folder / "postgres.log")
        postgres.start()
        try:
            results = asyncio.run(_measure(postgres.url, events))
        finally:
            postgres.stop()
    publish("analytics", results, report)
    if results.filled.clicks >= ENOUGH_FOR_PLANS and (
        read := [f"{case.question} of {case.topic}" for case in results.cases if case.whole_tables]
    ):
        raise StartFailed(f"Tables are read from end to end for: {', '.join(read)}.")


async def _measure(database_url: str, events: int) -> AnalyticsResults:
    await migrate(database_url)
    sys.stdout.write(f"filling Postgres with {events:,} events of 90 days\n")
    started = time.perf_counter()
    filled = await fill(database_url, events, datetime.now(UTC))
    fill_seconds = time.perf_counter() - started
    owner, pool = await open_pool(database_url, size=1), await open_pool(database_url, size=2, role=API_ROLE)
    try:
        async with owner.acquire() as db:
            await _compare_sums(db)
            cases = [await _time(pool, question) for question in list_questions(filled.until)]
            await _compare_answers(pool, db, filled)
    finally:
        await owner.close()
        await pool.close()
    return AnalyticsResults(
        environment=read_environment(),
        command=f"./switchyard bench analytics --events {events}",
        filled=filled,
        fill_seconds=fill_seconds,
        times=TIMES,
        cases=cases,
    )


def list_questions(until: datetime) -> list[Question]:
    """List what is asked: every kind of question, about every topic."""
    utc, berlin, kolkata = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
    quarter, month = _last_days(until, 90, utc), _last_days(until, 30, berlin)
    abroad = _last_days(until, 30, kolkata)
    hours = Range(until - timedelta(hours=45), until - timedelta(hours=7), utc)
    questions = []
    for name, topic in TOPICS.items():
        asked: dict[str, Callable[[Connection], Awaitable[object]]] = {
            "totals, 90 days": partial(service.sum_up, topic=topic, span=quarter),
            "totals, 30 days": partial(service.sum_up, topic=topic, span=month),
            "by hour, 30 days": partial(service.list_buckets, topic=topic, span=month, interval="hour"),
            "by day, 90 days": partial(service.list_buckets, topic=topic, span=quarter, interval="day"),
            "funnel, 30 days": partial(service.build_funnel, topic=topic, span=month),
            "country, 90 days UTC": _ask_values(topic, quarter, "country"),
            "country, 30 days Berlin": _ask_values(topic, month, "country"),
            "utm_term, 30 days Kolkata": _ask_values(topic, abroad, "utm_term"),
            "browser, 38 hours": _ask_values(topic, hours, "browser"),
        }
        if topic.kind is SubjectKind.LINK:
            asked["variant, 30 days"] = _ask_values(topic, month, "variant")
        questions += [Question(question, name, ask) for question, ask in asked.items()]
    return questions


def _ask_values(topic: Topic, span: Range, aspect: Aspect) -> Callable[[Connection], Awaitable[Breakdown]]:
    return partial(service.break_down, topic=topic, span=span, aspect=aspect, sort="clicks", limit=10)


def _last_days(until: datetime, days: int, zone: ZoneInfo) -> Range:
    """Give whole days of a zone, up to the last one that had ended by `until`."""
    last = until.astimezone(zone).date()
    return Range(find_day_start(last - timedelta(days=days), zone), find_day_start(last, zone), zone)


async def _time(pool: Pool, question: Question) -> AnalyticsCase:
    sys.stdout.write(f"{question.name}: {question.topic}\n")
    times = []
    async with pool.acquire() as db:
        for _turn in range(TIMES + 1):
            started = time.perf_counter()
            async with db.transaction(isolation="repeatable_read", readonly=True):
                await enter_tenant(db, TENANT)
                await question.ask(db)
            times.append((time.perf_counter() - started) * 1000)
        scanned = await _explain(db, question)
    del times[0]  # it also reads the catalogue, and prepares
    return AnalyticsCase(
        question=question.name,
        topic=question.topic,
        median_ms=statistics.median(times),
        worst_ms=max(times),
        rows=scanned.rows,
        mib=scanned.blocks * 8 / 1024,
        whole_tables=sorted(scanned.whole_tables),
        nodes=sorted(scanned.nodes),
    )


async def _explain(db: Connection, question: Question) -> Scanned:
    """Run the question's queries once more, explained, and add up what they read."""
    asked: list[LoggedQuery] = []
    scanned = Scanned()
    async with db.transaction(isolation="repeatable_read", readonly=True):
        await enter_tenant(db, TENANT)
        with db.query_logger(asked.append):
            await question.ask(db)
        for one in asked:
            plan = await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {one.query}", *one.args)
            _read_plan(orjson.loads(plan)[0]["Plan"], scanned, is_root=True)
    return scanned


def _read_plan(node: dict[str, Any], scanned: Scanned, *, is_root: bool = False) -> None:
    if is_root:
        scanned.blocks += node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    table = node.get("Relation Name")
    if table is not None or "Index Name" in node:
        loops = node["Actual Loops"]
        dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        if node["Node Type"] != "Bitmap Index Scan":
            scanned.rows += round((node["Actual Rows"] + dropped) * loops)
        if loops:
            scanned.nodes.add(f"{node['Node Type']} {node.get('Index Name') or table}")
        is_whole = node["Node Type"] == "Seq Scan" and str(table).startswith(EVENT_TABLES)
        if is_whole and (node["Actual Rows"] + dropped) * loops:
            scanned.whole_tables.add(str(table))
    for child in node.get("Plans", ()):
        _read_plan(child, scanned)


async def _compare_sums(db: Connection) -> None:
    """Compare all sums with all rows. Raises StartFailed."""
    rows = await db.fetchrow(
        "SELECT count(*) AS clicks, count(*) FILTER (WHERE is_unique) AS uniques,"
        " count(*) FILTER (WHERE is_conversion) AS conversions FROM clicks"
    )
    visits = await db.fetchval("SELECT count(*) FROM visits")
    money = await db.fetchval("SELECT sum(amount_minor)::bigint FROM conversions WHERE kind = 2")
    for kind in (1, 2):
        sums = await db.fetchrow(
            "SELECT sum(clicks)::bigint AS clicks, sum(uniques)::bigint AS uniques,"
            " sum(conversions)::bigint AS conversions FROM traffic_slots WHERE subject_kind = $1",
            kind,
        )
        gross = await db.fetchval(
            "SELECT sum(gross_minor)::bigint FROM revenue_slots WHERE subject_kind = $1 AND dimension = 0",
            kind,
        )
        if sums != rows or gross != money:
            raise StartFailed(f"Sums of kind {kind} are {sums} and {gross}, rows {rows} and {money}.")
    if visits != await db.fetchval("SELECT sum(visits)::bigint FROM traffic_slots WHERE subject_kind = 2"):
        raise StartFailed("The sums of visits differ from the rows.")


async def _compare_answers(pool: Pool, owner: Connection, filled: Filled) -> None:
    """Compare answers with what is counted from the rows. Raises StartFailed."""
    span = _last_days(filled.until, 30, ZoneInfo("Europe/Berlin"))
    low, high = id_floor(span.start), id_floor(span.until)
    for name, topic in TOPICS.items():
        async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
            await enter_tenant(db, TENANT)
            breakdown = await service.break_down(db, topic, span, "country", sort="clicks", limit=100)
        column, key = {
            SubjectKind.LINK: ("link_id", topic.id),
            SubjectKind.PROJECT: ("project_id", topic.id),
            SubjectKind.CAMPAIGN: ("utm_campaign", topic.campaign),
        }[topic.kind]
        rows = await owner.fetch(
            "SELECT country, count(*) AS clicks, count(*) FILTER (WHERE is_unique AND NOT is_bot) AS humans"
            f" FROM clicks WHERE {column} = $1 AND id >= $2 AND id < $3 AND country IS NOT NULL GROUP BY 1",
            key,
            low,
            high,
        )
        counted = {row["country"]: (row["clicks"], row["humans"]) for row in rows}
        answered = {
            one.value: (one.counts.clicks, one.counts.human_uniques)
            for one in breakdown.items
            if one.counts.clicks
        }
        if counted != answered:
            raise StartFailed(f"The countries of the {name} differ from the rows.")
