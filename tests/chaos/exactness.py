"""What must hold after every disturbance: each redirect that was received has one row, and all agrees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from tests.chaos.chaos_stack import SLUGS
from tests.support import eventually

if TYPE_CHECKING:
    from control_plane.db.pool import Connection
    from deploy.doctor import Report
    from edge.status import Events
    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.visitors import Visitors

SETTLE_S = 60.0

_WRONG_TOTALS = """
WITH counted AS (
    SELECT tenant_id, link_id, variant_id, count(*) AS clicks
    FROM clicks WHERE link_id IS NOT NULL GROUP BY 1, 2, 3
)
SELECT * FROM counted FULL JOIN click_totals AS kept USING (tenant_id, link_id, variant_id)
WHERE counted.clicks IS DISTINCT FROM kept.clicks
"""

_WRONG_SLOTS = """
WITH counted AS (
    SELECT tenant_id, link_id, variant_id, date_bin('15 minutes', {moment}, 'epoch') AS slot,
           count(*) AS clicks
    FROM clicks WHERE link_id IS NOT NULL GROUP BY 1, 2, 3, 4
)
SELECT * FROM counted FULL JOIN (
    SELECT tenant_id, subject AS link_id, variant_id, slot, clicks FROM traffic_slots WHERE subject_kind = 1
) kept USING (tenant_id, link_id, variant_id, slot)
WHERE counted.clicks IS DISTINCT FROM kept.clicks
""".format(moment="to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)")


class Stock(msgspec.Struct, frozen=True):
    """What there was before. `uncounted`: clicks of workers that were killed before they counted them."""

    clicks: set[UUID]
    uncounted: int


async def take_stock(stack: ChaosStack) -> Stock:
    """Wait until all has landed, and note what there is."""
    events = await eventually(lambda: _find_settled(stack), timeout_s=SETTLE_S, every_s=0.05)
    assert events is not None
    async with stack.database() as db:
        return Stock(set(await list_clicks(db)), events.journaled - events.served)


async def assert_nothing_lost(stack: ChaosStack, visitors: Visitors, before: Stock) -> None:
    """Wait until all has landed, then count."""
    assert len(set(visitors.clicks)) == len(visitors.clicks)
    after = await take_stock(stack)
    missing = set(visitors.clicks) - after.clicks
    assert not missing, f"{len(missing)} of {len(visitors.clicks)} redirects have no row"
    # A click that was written down may have found its visitor gone, or have been cut off from it.
    unheard = after.clicks - set(visitors.clicks) - before.clicks
    assert len(unheard) <= visitors.unsure
    assert 0 <= after.uncounted - before.uncounted <= visitors.unsure
    async with stack.database() as db:
        rows = await list_clicks(db)
        assert len(set(rows)) == len(rows)
        assert visitors.slugs.items() <= (await _list_slugs(db)).items()
        await assert_rollups_agree(db)
    await assert_all_is_well(stack)


async def list_clicks(db: Connection) -> list[UUID]:
    """Give the ids of every click."""
    rows = await db.fetch("SELECT id FROM clicks")
    return [UUID(str(row["id"])) for row in rows]


async def _list_slugs(db: Connection) -> dict[UUID, str]:
    """Give for each click the slug of its link."""
    rows = await db.fetch(
        "SELECT clicks.id, slug FROM clicks"
        " JOIN links ON links.tenant_id = clicks.tenant_id AND links.id = clicks.link_id"
    )
    return {UUID(str(row["id"])): row["slug"] for row in rows}


async def assert_rollups_agree(db: Connection) -> None:
    """Compare every total and every slot with the rows that it counts."""
    assert await db.fetch(_WRONG_TOTALS) == []
    assert await db.fetch(_WRONG_SLOTS) == []


async def assert_all_is_well(stack: ChaosStack) -> None:
    """See that the doctor finds nothing, and that links redirect."""
    await eventually(lambda: _is_sound(stack), timeout_s=SETTLE_S, every_s=0.1)
    assert await asyncio.to_thread(stack.location, SLUGS[0], "HEAD") is not None


async def _is_sound(stack: ChaosStack) -> bool:
    return not find_wrong(await stack.examine())


def find_wrong(report: Report) -> list[str]:
    """Give what the doctor found wrong; the disk of the machine that tests is none of our business."""
    return [
        f"{check.name}: {check.says}"
        for check in report.checks
        if not check.ok and check.name not in {"journal folder", "libraries"}
    ]


async def _find_settled(stack: ChaosStack) -> Events | None:
    """Give the edge's figures, if all that was journaled is shipped, landed, and in the table."""
    health = stack.health()
    if health is None:
        return None
    events = health.events
    async with stack.database() as db:
        rows = await db.fetchval("SELECT count(*) FROM clicks")
    agrees = events.journaled == events.shipped == events.landed == rows
    return events if agrees and events.lag_ms == 0 else None
