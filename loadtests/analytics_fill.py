"""Fill a database with traffic of 90 days: some hot links and a long tail, and the sums of all that.

Rows are made by Postgres itself, on two connections. Secondary indexes are made afterwards, which is
faster; sums are INSERT ... SELECT over the rows. Sums lie in the order of their hash, so those of one
link lie as far apart as can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
import msgspec

from control_plane.domains.traffic.model import DIMENSIONS, SubjectKind, campaign_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from control_plane.db.pool import Connection

DAYS: Final = 90
LINKS: Final = 1000
CAMPAIGNS: Final = 50
TENANT: Final = UUID(int=1)
PROJECT: Final = UUID(int=2)
CLICK_SHARE, VISIT_SHARE = 0.90, 0.09
"""Of all events; the rest are checkouts and sales, one of each for a click that converted."""

SUMS: Final = ("traffic_slots", "traffic_days", "revenue_slots")
COUNTS: Final = """count(*) AS clicks, count(*) FILTER (WHERE is_unique) AS uniques,
    count(*) FILTER (WHERE NOT is_bot) AS humans,
    count(*) FILTER (WHERE is_unique AND NOT is_bot) AS human_uniques,
    count(*) FILTER (WHERE is_conversion) AS conversions,
    count(*) FILTER (WHERE is_conversion AND NOT is_bot) AS human_conversions"""
COUNT_COLUMNS: Final = "clicks, uniques, humans, human_uniques, conversions, human_conversions"
ZERO: Final = "'00000000-0000-0000-0000-000000000000'::uuid"
SLOT: Final = "date_bin('15 minutes', landed_at, '2000-01-01Z')"
DAY: Final = "(landed_at AT TIME ZONE 'UTC')::date"
SESSION: Final = (
    "SET synchronous_commit = off; SET work_mem = '1GB'; SET maintenance_work_mem = '1GB'; SET jit = off"
)

WHO: Final = """
    (ARRAY['US','BR','DE','IN','GB','FR','ES','MX','CA','IT','NL','PL','AU','JP','TR','ID','AR','CO','SE','PT',
           'CH','AT','BE','DK','NO','FI','IE','CZ','RO','GR','HU','CL','PE','ZA','NG','EG','KE','IL','AE','SA',
           'TH','VN','PH','MY','SG','KR','TW','HK','NZ','UA'])[1 + (50 * power(random(), 3))::int % 50],
    (ARRAY['mobile','desktop','tablet'])[1 + (3 * power(random(), 2))::int % 3],
    (ARRAY['Chrome','Safari','Firefox','Edge','Samsung','Opera'])[1 + (6 * power(random(), 3))::int % 6],
    (ARRAY['Android','iOS','Windows','Mac OS X','Linux'])[1 + (5 * power(random(), 2))::int % 5],
    CASE WHEN random() < 0.7 THEN 'site' || (200 * power(random(), 3))::int || '.example' END,
    CASE WHEN random() < 0.6 THEN 'source' || (20 * power(random(), 2))::int END,
    CASE WHEN random() < 0.6 THEN (ARRAY['cpc','email','social','affiliate'])[1 + (random() * 3)::int] END,
    CASE WHEN random() < 0.5 THEN 'campaign' || ((link + random() * 2)::int % {campaigns}) END,
    CASE WHEN random() < 0.4 THEN 'content' || (100 * power(random(), 2))::int END,
    CASE WHEN random() < 0.3 THEN 'term' || (1000 * power(random(), 3))::int END"""
WHO_COLUMNS: Final = (
    "country, device, browser, os, referrer_domain,"
    " utm_source, utm_medium, utm_campaign, utm_content, utm_term"
)
EVENTS: Final = """
    SELECT moment, (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'
            || substr(gen_random_uuid()::text, 16))::uuid AS id, link
    FROM (
        SELECT $1::timestamptz + ($2::timestamptz - $1) * ((n + random()) / $3::integer) AS moment,
               ({links} * power(random(), 4))::int % {links} AS link
        FROM generate_series(0, $3 - 1) n
    ) drawn
    ORDER BY moment"""
CLICKS: Final = f"""
INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch, is_bot,
    is_conversion, verdict_version, landed_at, ip_address, referrer, user_agent, query,
    project_id, visitor_id, is_unique, {WHO_COLUMNS})
SELECT '{TENANT}', id, {{link_id}}, lpad(to_hex(65536 + link * 2 + (random() < 0.5)::int), 32, '0')::uuid,
    1, 4, false, random() < 0.12, random() < {{converting}}, 2, moment, '198.51.100.0', 'https://site.example/a/page',
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0',
    'utm_source=mail&utm_medium=cpc', '{PROJECT}', (random() * 1e15)::bigint, random() < 0.7, {WHO}
FROM ({EVENTS}) event"""
VISITS: Final = f"""
INSERT INTO visits (tenant_id, id, project_id, visitor_id, is_unique, is_bot, verdict_version, landed_at,
    landing_url, user_agent, {WHO_COLUMNS})
SELECT '{TENANT}', id, '{PROJECT}', (random() * 1e15)::bigint, random() < 0.7, random() < 0.05, 2, moment,
    'https://shop.example/landing', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0', {WHO}
FROM ({EVENTS}) event"""
CONVERSIONS: Final = f"""
INSERT INTO conversions (tenant_id, id, project_id, kind, external_id, status, click_id, currency,
    amount_minor, commission_minor, refunded_minor, source, attributed_click, link_id, variant_id,
    clicked_at, counted_at, landed_at, updated_at)
SELECT '{TENANT}', gen_random_uuid(), '{PROJECT}', kind, id::text, 'completed', id::text,
    CASE WHEN random() < 0.8 THEN 'USD' ELSE 'EUR' END, 500 + (random() * 10000)::bigint, 50, 0, 'postback',
    id, link_id, variant_id, landed_at, landed_at, landed_at, landed_at
FROM clicks CROSS JOIN unnest(ARRAY[1, 2]) kind
WHERE is_conversion"""


class Filled(msgspec.Struct, frozen=True):
    """What a database was filled with. `until`: midnight (UTC) after the last of the days."""

    until: datetime
    clicks: int
    visits: int
    conversions: int
    slot_sums: int
    day_sums: int
    money_sums: int
    gib: float


def link_id(number: int) -> UUID:
    """Give the id of a link; 0 is the hottest."""
    return UUID(int=256 + number)


async def fill(database_url: str, events: int, now: datetime) -> Filled:
    """Fill a migrated, empty database."""
    until = datetime.combine(now.astimezone(UTC).date(), datetime.min.time(), UTC)
    first, second = await _connect(database_url), await _connect(database_url)
    try:
        await _make_owners(first, until)
        indexes = await _drop_indexes(first)
        with _telling("rows"):
            await _fill_rows(first, second, events, until)
            await first.execute(CONVERSIONS)
            await first.execute("ANALYZE clicks; ANALYZE visits; ANALYZE conversions")
        with _telling("sums"):
            await asyncio.gather(_sum_slots(first), _sum_days(second))
        with _telling("indexes"):
            await _make_indexes([first, second], indexes)
        with _telling("statistics"):
            for table in ("clicks", "visits", "conversions", *SUMS):
                await first.execute(f"VACUUM ANALYZE {table}")
        return await _describe(first, until)
    finally:
        await first.close()
        await second.close()


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Tell how long a part of the filling took."""
    started = time.perf_counter()
    yield
    sys.stdout.write(f"{what}: {time.perf_counter() - started:.0f} s\n")
    sys.stdout.flush()


async def _connect(database_url: str) -> Connection:
    db = await asyncpg.connect(database_url)
    await db.execute(SESSION)
    return db


async def _make_owners(db: Connection, until: datetime) -> None:
    await db.execute("INSERT INTO tenants VALUES ($1, 'Acme', 'growth', $2)", TENANT, until)
    await db.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at) VALUES ($1, $2, 'Shop', $3, $3)",
        TENANT,
        PROJECT,
        until,
    )
    names = [f"campaign{number}" for number in range(CAMPAIGNS)]
    await db.executemany(
        "INSERT INTO campaigns VALUES ($1, $2, $3, $4)",
        [(TENANT, campaign_id(PROJECT, name), PROJECT, name) for name in names],
    )
    for table in ("clicks", "visits"):
        for month in range(-4, 1):
            moment = until + timedelta(days=30 * month)
            await db.fetchval("SELECT ensure_month_partition($1, $2)", table, moment)


async def _drop_indexes(db: Connection) -> list[str]:
    """Drop what is faster made afterwards: the secondary indexes, and the sums' keys. Give their making."""
    made = []
    for row in await db.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition"
        " FROM pg_index WHERE NOT indisunique AND indrelid IN"
        " ('clicks'::regclass, 'visits'::regclass, 'conversions'::regclass)"
    ):
        await db.execute(f"DROP INDEX {row['name']}")
        made.append(row["definition"].replace(" ON ONLY ", " ON "))
    for table in SUMS:
        key = await db.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::text::regclass"
            " AND contype = 'p'",
            table,
        )
        await db.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        made.append(f"ALTER TABLE {table} ADD {key}")
    return made


async def _make_indexes(connections: Sequence[Connection], definitions: list[str]) -> None:
    """Make indexes on several connections at once, where they are of different tables."""
    left = sorted(definitions, key=lambda text: "clicks" not in text)
    half = sum("clicks" in text for text in left)
    await asyncio.gather(
        *(_run_all(db, part) for db, part in zip(connections, (left[:half], left[half:]), strict=True))
    )


async def _run_all(db: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        await db.execute(statement)


async def _fill_rows(first: Connection, second: Connection, events: int, until: datetime) -> None:
    clicks, visits = int(events * CLICK_SHARE), int(events * VISIT_SHARE)
    converting = (events - clicks - visits) / 2 / max(clicks, 1)
    numbers = {"links": LINKS, "campaigns": CAMPAIGNS, "converting": f"{converting:.6f}"}
    shapes = {
        **numbers,
        "link_id": "lpad(to_hex(256 + link), 32, '0')::uuid",
    }
    middle, start = until - timedelta(days=DAYS / 2), until - timedelta(days=DAYS)
    last = until - timedelta(seconds=1)

    async def fill_half(db: Connection, begin: datetime, end: datetime, seed: float) -> None:
        await db.execute(f"SELECT setseed({seed})")
        await db.execute(CLICKS.format(**shapes), begin, end, clicks // 2)
        await db.execute(VISITS.format(**shapes), begin, end, visits // 2)

    await asyncio.gather(fill_half(first, start, middle, 0.1), fill_half(second, middle, last, 0.2))


async def _sum_slots(db: Connection) -> None:
    """Write traffic_slots and revenue_slots."""
    await db.execute(f"""
        INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, {COUNT_COLUMNS})
        SELECT tenant_id, 1, link_id, variant_id, {SLOT}, {COUNTS} FROM clicks GROUP BY 1, 3, 4, 5""")
    await db.execute(f"""
        INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, {COUNT_COLUMNS})
        SELECT c.tenant_id, 3, n.id, {ZERO}, {SLOT}, {COUNTS}
        FROM clicks c JOIN campaigns n ON n.name = c.utm_campaign GROUP BY 1, 3, 5""")
    await db.execute(f"""
        INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, {COUNT_COLUMNS},
            visits, human_visits)
        SELECT tenant_id, 2, project_id, {ZERO}, slot, {_sums(COUNT_COLUMNS)}, sum(visits), sum(human_visits)
        FROM (
            SELECT tenant_id, project_id, {SLOT} AS slot, {COUNTS}, 0 AS visits, 0 AS human_visits
            FROM clicks GROUP BY 1, 2, 3
            UNION ALL
            SELECT tenant_id, project_id, {SLOT}, 0, 0, 0, 0, 0, 0, count(*),
                count(*) FILTER (WHERE NOT is_bot)
            FROM visits GROUP BY 1, 2, 3
        ) parts GROUP BY 1, 3, 5""")
    # Campaigns have their visits, and all have their checkouts and sales, in sums that are there already.
    await db.execute("CREATE INDEX filling ON traffic_slots (subject, slot, variant_id)")
    await db.execute(f"""
        INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot)
        SELECT DISTINCT v.tenant_id, 3, n.id, {ZERO}, {SLOT}
        FROM visits v JOIN campaigns n ON n.name = v.utm_campaign
        WHERE NOT EXISTS (SELECT FROM traffic_slots s WHERE s.subject = n.id AND s.slot = {SLOT})""")
    await db.execute(f"""
        UPDATE traffic_slots s SET visits = v.visits, human_visits = v.human_visits
        FROM (SELECT n.id, {SLOT} AS slot, count(*) AS visits,
                     count(*) FILTER (WHERE NOT is_bot) AS human_visits
              FROM visits JOIN campaigns n ON n.name = utm_campaign GROUP BY 1, 2) v
        WHERE s.subject = v.id AND s.slot = v.slot""")
    for kind, subject, variant in _SUBJECTS:
        joined = "JOIN campaigns n ON n.name = c.utm_campaign" if kind == SubjectKind.CAMPAIGN else ""
        source = f"""conversions o JOIN clicks c ON c.tenant_id = o.tenant_id AND c.id = o.attributed_click
            {joined}"""
        slot = SLOT.replace("landed_at", "o.counted_at")
        await db.execute(f"""
            UPDATE traffic_slots s SET checkouts = v.checkouts, sales = v.sales
            FROM (SELECT {subject} AS subject, {variant} AS variant_id, {slot} AS slot,
                         count(*) FILTER (WHERE kind = 1) AS checkouts,
                         count(*) FILTER (WHERE kind = 2) AS sales
                  FROM {source} GROUP BY 1, 2, 3) v
            WHERE s.subject = v.subject AND s.slot = v.slot AND s.variant_id = v.variant_id""")
        day = "date_trunc('day', o.counted_at, 'UTC')"
        for dimension, value, moment in [
            (0, "''", slot),
            *((one.value, f"c.{one.name.lower()}", day) for one in DIMENSIONS),
        ]:
            await db.execute(f"""
                INSERT INTO revenue_slots (tenant_id, subject_kind, subject, variant_id, dimension, slot,
                    value, currency, sales, gross_minor, commission_minor)
                SELECT o.tenant_id, {kind.value}, {subject}, {variant}, {dimension}, {moment}, {value},
                       o.currency, count(*), sum(o.amount_minor), sum(o.commission_minor)
                FROM {source}
                WHERE kind = 2 AND {value} IS NOT NULL GROUP BY 1, 3, 4, 6, 7, 8""")
    await db.execute("DROP INDEX filling")


_SUBJECTS: Final = (
    (SubjectKind.LINK, "c.link_id", "c.variant_id"),
    (SubjectKind.PROJECT, "o.project_id", ZERO),
    (SubjectKind.CAMPAIGN, "n.id", ZERO),
)


async def _sum_days(db: Connection) -> None:
    """Write traffic_days, one dimension after the other."""
    columns = f"tenant_id, subject_kind, subject, variant_id, day, dimension, value, {COUNT_COLUMNS}"
    for dimension in DIMENSIONS:
        name, number = dimension.name.lower(), dimension.value
        await db.execute(f"""
            INSERT INTO traffic_days ({columns})
            SELECT tenant_id, 1, link_id, variant_id, {DAY}, {number}, {name}, {COUNTS}
            FROM clicks WHERE {name} IS NOT NULL GROUP BY 1, 3, 4, 5, 7""")
        for kind, subject, source in (
            (SubjectKind.PROJECT, "project_id", "{table}"),
            (SubjectKind.CAMPAIGN, "n.id", "{table} JOIN campaigns n ON n.name = utm_campaign"),
        ):
            await db.execute(f"""
                INSERT INTO traffic_days ({columns}, visits, human_visits)
                SELECT '{TENANT}', {kind.value}, subject, {ZERO}, day, {number}, value,
                       {_sums(COUNT_COLUMNS)}, sum(visits), sum(human_visits)
                FROM (
                    SELECT {subject} AS subject, {DAY} AS day, {name} AS value, {COUNTS}, 0 AS visits,
                           0 AS human_visits
                    FROM {source.format(table="clicks")} WHERE {name} IS NOT NULL GROUP BY 1, 2, 3
                    UNION ALL
                    SELECT {subject}, {DAY}, {name}, 0, 0, 0, 0, 0, 0, count(*),
                           count(*) FILTER (WHERE NOT is_bot)
                    FROM {source.format(table="visits")} WHERE {name} IS NOT NULL GROUP BY 1, 2, 3
                ) parts GROUP BY 3, 5, 7""")


def _sums(columns: str) -> str:
    return ", ".join(f"sum({name.strip()})" for name in columns.split(","))


async def _describe(db: Connection, until: datetime) -> Filled:
    async def count(table: str) -> int:
        total: int = await db.fetchval(f"SELECT count(*) FROM {table}")
        return total

    return Filled(
        until=until,
        clicks=await count("clicks"),
        visits=await count("visits"),
        conversions=await count("conversions"),
        slot_sums=await count("traffic_slots"),
        day_sums=await count("traffic_days"),
        money_sums=await count("revenue_slots"),
        gib=await db.fetchval("SELECT pg_database_size(current_database())") / 2**30,
    )
