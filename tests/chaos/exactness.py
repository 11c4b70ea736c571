"""What must hold after every disturbance: what was answered has one row, and every sum agrees with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from control_plane.domains.traffic.check import find_disagreements
from tests.chaos.chaos_stack import SLUGS
from tests.chaos.reporters import REFUNDED_MINOR
from tests.support import eventually

if TYPE_CHECKING:
    from control_plane.db.pool import Connection
    from deploy.doctor import Report
    from edge.status import Events
    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.reporters import Reporters
    from tests.chaos.visitors import Visitors

SETTLE_S = 60.0

_ATTRIBUTED = """
SELECT external_id, attributed_click, refunded_minor FROM conversions WHERE kind = 2 AND status = 'completed'
"""
_JOINED = """
SELECT refund.external_id, sale.external_id AS sale
FROM conversions refund
JOIN conversions sale ON sale.tenant_id = refund.tenant_id AND sale.id = refund.target_id
WHERE refund.kind = 3 AND refund.status = 'completed' AND refund.waits_for IS NULL
"""


class Stock(msgspec.Struct, frozen=True):
    """What there was before. `uncounted`: events of workers that were killed before they counted them."""

    clicks: set[UUID]
    uncounted: int


async def take_stock(stack: ChaosStack) -> Stock:
    """Wait until all has landed, and note what there is."""
    events = await eventually(lambda: _find_settled(stack), timeout_s=SETTLE_S, every_s=0.05)
    assert events is not None
    async with stack.database() as db:
        return Stock(set(await list_clicks(db)), events.journaled - events.served - events.taken)


async def assert_nothing_lost(
    stack: ChaosStack, visitors: Visitors, before: Stock, reporters: Reporters | None = None
) -> None:
    """Wait until all has landed, then count."""
    assert len(set(visitors.clicks)) == len(visitors.clicks)
    after = await take_stock(stack)
    missing = set(visitors.clicks) - after.clicks
    assert not missing, f"{len(missing)} of {len(visitors.clicks)} redirects have no row"
    # A click that was written down may have found its visitor gone, or have been cut off from it.
    unheard = after.clicks - set(visitors.clicks) - before.clicks
    assert len(unheard) <= visitors.unsure
    unsure = visitors.unsure + (reporters.unsure if reporters is not None else 0)
    assert 0 <= after.uncounted - before.uncounted <= unsure
    async with stack.database() as db:
        rows = await list_clicks(db)
        assert len(set(rows)) == len(rows)
        assert visitors.slugs.items() <= (await _list_slugs(db)).items()
        if reporters is not None:
            await assert_reports_kept(db, reporters)
        await assert_sums_agree(db)
    await assert_all_is_well(stack)


async def assert_reports_kept(db: Connection, reporters: Reporters) -> None:
    """See that each report that was taken is there, once, and is joined to what it is of."""
    visits = [UUID(str(row["id"])) for row in await db.fetch("SELECT id FROM visits")]
    assert len(set(visits)) == len(visits)
    assert reporters.visits <= set(visits)
    clicks = [row["click_id"] for row in await db.fetch("SELECT click_id FROM clicks WHERE link_id IS NULL")]
    assert len(set(clicks)) == len(clicks)
    assert set(map(str, reporters.page_clicks)) <= set(clicks)
    # What came before the click or the sale that it is of is joined by the flusher's next looks.
    await eventually(lambda: _is_joined(db, reporters), timeout_s=SETTLE_S, every_s=0.1)
    # Each counts once: a refund that counted twice would be of eight.
    refunded = {row["external_id"]: row["refunded_minor"] for row in await db.fetch(_ATTRIBUTED)}
    assert {refunded[sale] for sale in reporters.sales} <= {REFUNDED_MINOR}


async def _is_joined(db: Connection, reporters: Reporters) -> bool:
    sales = {row["external_id"]: UUID(str(row["attributed_click"])) for row in await db.fetch(_ATTRIBUTED)
             if row["attributed_click"] is not None}  # fmt: skip
    refunds = {row["external_id"]: row["sale"] for row in await db.fetch(_JOINED)}
    return reporters.sales.items() <= sales.items() and reporters.refunds.items() <= refunds.items()


async def list_clicks(db: Connection) -> list[UUID]:
    """Give the ids of every click on a link."""
    rows = await db.fetch("SELECT id FROM clicks WHERE link_id IS NOT NULL")
    return [UUID(str(row["id"])) for row in rows]


async def _list_slugs(db: Connection) -> dict[UUID, str]:
    """Give for each click the slug of its link."""
    rows = await db.fetch(
        "SELECT clicks.id, slug FROM clicks"
        " JOIN links ON links.tenant_id = clicks.tenant_id AND links.id = clicks.link_id"
    )
    return {UUID(str(row["id"])): row["slug"] for row in rows}


async def assert_sums_agree(db: Connection) -> None:
    """Compare every sum with the rows that it counts, as `./switchyard check` does."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        assert [wrong async for wrong in find_disagreements(db)] == []


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
    """Give the edge's figures, if all that was journaled is shipped, has landed, and is in the ledger."""
    health = stack.health()
    if health is None:
        return None
    events = health.events
    async with stack.database() as db:
        landed = await db.fetchval("SELECT coalesce(sum(events), 0) FROM journal_ledger")
    agrees = events.journaled == events.shipped == events.landed == landed
    return events if agrees and events.lag_ms == 0 else None
