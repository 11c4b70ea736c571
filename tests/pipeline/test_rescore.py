from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from control_plane.pipeline.rescore import Rescored, rescore
from control_plane.pipeline.verdicts import Judge
from tests.pipeline.test_landing import (
    AGENTS,
    all_joined,
    find_wrong,
    make_click,
    make_sale,
    make_visit,
    run_until_drained,
    ship,
)
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def test_sums_move_with_the_verdicts(
    db_pool: Pool, redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    chance = random.Random(1)
    clicks = [make_click(chance) for _ in range(120)]
    visits = [make_visit(chance, click) for click in clicks[:40]]
    sales = [make_sale(chance, number, click) for number, click in enumerate(clicks[:30])]
    await ship(redis, [clicks, visits, sales])
    await run_until_drained(redis, settings)
    await eventually(lambda: all_joined(db_pool))
    judge = Judge.read("")
    assert await rescore(db_pool, judge, LONG_AGO) == Rescored(seen=160, judged=0, moved=0)

    humans = await db_pool.fetchval("SELECT count(*) FROM clicks WHERE NOT is_bot")
    networks = tmp_path / "networks"
    networks.write_text("84.128.0.0/24\n")
    done = await rescore(db_pool, Judge.read(str(networks)), LONG_AGO)
    assert done.moved > humans > 0
    assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE NOT is_bot") == 0
    assert await db_pool.fetchval("SELECT sum(humans) FROM traffic_slots WHERE subject_kind = 1") == 0
    assert await find_wrong(db_pool) == []

    await rescore(db_pool, judge, LONG_AGO)
    assert await db_pool.fetchval("SELECT count(*) FROM clicks WHERE NOT is_bot") == humans
    assert await find_wrong(db_pool) == []


async def test_verdicts_of_an_older_version_are_passed_anew(
    db_pool: Pool, redis: Redis, settings: Settings
) -> None:
    chance = random.Random(2)
    click = msgspec.structs.replace(make_click(chance), prefetch=True, user_agent=AGENTS[0])
    await ship(redis, [[click]])
    await run_until_drained(redis, settings)
    await db_pool.execute("UPDATE clicks SET is_bot = false, bot_reason = NULL, verdict_version = 1")
    done = await rescore(db_pool, Judge.read(""), LONG_AGO)
    assert done == Rescored(seen=1, judged=1, moved=1)
    row = await db_pool.fetchrow("SELECT is_bot, bot_reason, verdict_version FROM clicks")
    assert tuple(row or ()) == (True, "prefetch", 2)


async def test_a_verdict_by_an_address_that_was_not_kept_stays(
    db_pool: Pool, redis: Redis, settings: Settings
) -> None:
    chance = random.Random(3)
    person = msgspec.structs.replace(make_click(chance), prefetch=False, user_agent=AGENTS[0], ip="3.5.6.7")
    await ship(redis, [[person]])
    await run_until_drained(redis, msgspec.structs.replace(settings, ip_storage="none"))
    assert await db_pool.fetchval("SELECT bot_reason FROM clicks") == "datacenter"
    assert (await rescore(db_pool, Judge.read("off"), LONG_AGO)).moved == 0


async def test_the_rate_is_counted_over_all_rows(db_pool: Pool, redis: Redis, settings: Settings) -> None:
    chance = random.Random(4)
    person = msgspec.structs.replace(make_click(chance), prefetch=False, user_agent=AGENTS[0])
    noon = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
    ids = [((noon + n) << 80 | 7 << 76 | 2 << 62 | n).to_bytes(16, "big") for n in range(35)]
    await ship(redis, [[msgspec.structs.replace(person, id=click_id) for click_id in ids]])
    await run_until_drained(redis, settings)
    await db_pool.execute("UPDATE clicks SET is_bot = false, bot_reason = NULL, verdict_version = 1")
    await rescore(db_pool, Judge.read(""), LONG_AGO)
    rows = await db_pool.fetch("SELECT bot_reason FROM clicks ORDER BY id")
    assert [row["bot_reason"] for row in rows] == [None] * 30 + ["rate"] * 5
