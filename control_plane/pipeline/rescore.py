"""Pass the verdicts on clicks and visits again, by the rules of today, and move the sums along.

Page by page, each in a transaction of its own, while everything goes on; it may be broken off and begun
again. What follows from an address that was not stored stays as it was.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.ids import id_floor, id_time
from control_plane.core.user_agents import BotReason
from control_plane.db.pool import load_queries
from control_plane.domains.traffic.changes import Changes, split_row, subjects_of
from control_plane.domains.traffic.model import Counts
from control_plane.domains.traffic.store import write_changes
from control_plane.pipeline.verdicts import VERDICT_VERSION

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Connection, Pool
    from control_plane.pipeline.verdicts import Judge

PAGE_SIZE: Final = 2_000
MINUTE_MS: Final = 60_000
LAST_ID: Final = uuid.UUID(int=2**128 - 1)
_BY_ADDRESS: Final = frozenset({BotReason.MAIL_SCANNER, BotReason.DATACENTER})
_queries = load_queries(Path(__file__).with_name("rescore.sql"))
_TABLES: Final = {
    "clicks": (_queries.hold_clicks, _queries.judge_clicks),
    "visits": (_queries.hold_visits, _queries.judge_visits),
}
"""How the next rows of a table are held, and how verdicts on them are written."""


class Rescored(msgspec.Struct):
    """How many rows were looked at, how many got another reason, how many changed sides."""

    seen: int = 0
    judged: int = 0
    moved: int = 0


class _MinuteOrder:
    """Tells which one of its visitor's rows in its clock minute a row is; rows come in order of time."""

    def __init__(self) -> None:
        self._minute = -1
        self._numbers: dict[int, int] = {}

    def number(self, row: Any) -> int:
        if row["visitor_id"] is None:
            return 1
        minute = (row["id"].int >> 80) // MINUTE_MS
        if minute != self._minute:
            self._minute, self._numbers = minute, {}
        number = self._numbers[row["visitor_id"]] = self._numbers.get(row["visitor_id"], 0) + 1
        return number


async def rescore(pool: Pool, judge: Judge, since: datetime) -> Rescored:
    """Judge all rows from the minute of `since` on."""
    start = id_floor(since.replace(second=0, microsecond=0))
    result = Rescored()
    async with pool.acquire() as db:
        tenants = [row["id"] async for row in _queries.list_tenants(db)]
        for tenant_id in tenants:
            for table in _TABLES:
                stretch = _Stretch(table, tenant_id, judge, result)
                after: uuid.UUID | None = uuid.UUID(int=max(start.int - 1, 0))
                while after is not None:
                    after = await stretch.judge_page(db, after)
    return result


class _Stretch:
    """A tenant's rows of one table, from some moment on."""

    def __init__(self, table: str, tenant_id: uuid.UUID, judge: Judge, result: Rescored) -> None:
        self._table = table
        self._tenant_id = tenant_id
        self._judge = judge
        self._result = result
        self._order = _MinuteOrder()

    async def judge_page(self, db: Connection, after: uuid.UUID) -> uuid.UUID | None:
        """Judge the next rows; give the id of the last one, None when there are no more."""
        hold, write = _TABLES[self._table]
        async with db.transaction():
            rows = [
                row
                async for row in hold(
                    db, tenant_id=self._tenant_id, after=after, until=LAST_ID, limit=PAGE_SIZE
                )
            ]
            verdicts = {row["id"]: _judge_row(self._judge, row, self._order.number(row)) for row in rows}
            changed = [
                row
                for row in rows
                if row["verdict_version"] != VERDICT_VERSION or row["bot_reason"] != verdicts[row["id"]]
            ]
            moved = [row for row in changed if row["is_bot"] != (verdicts[row["id"]] is not None)]
            if changed:
                await write(
                    db,
                    tenant_id=self._tenant_id,
                    ids=[row["id"] for row in changed],
                    reasons=[verdicts[row["id"]] for row in changed],
                    version=VERDICT_VERSION,
                )
                await _move_sums(db, self._tenant_id, self._table, moved)
        self._result.seen += len(rows)
        self._result.judged += len(changed)
        self._result.moved += len(moved)
        return rows[-1]["id"] if rows else None


def _judge_row(judge: Judge, row: Any, number: int) -> str | None:
    reason = judge.judge(
        row["user_agent"] or "", row["ip"] or "", prefetch=bool(row["is_prefetch"]), in_minute=number
    )
    if row["ip"] is None and row["bot_reason"] in _BY_ADDRESS and reason in {None, BotReason.RATE}:
        return str(row["bot_reason"])
    return reason


async def _move_sums(db: Connection, tenant_id: uuid.UUID, table: str, rows: list[Any]) -> None:
    """Count rows as people's that were a machine's, or the other way round."""
    changes = Changes()
    bots: dict[tuple[uuid.UUID, uuid.UUID], int] = {}
    for row in rows:
        sign = 1 if row["is_bot"] else -1  # it was a machine's, so it becomes a person's
        link = None
        if table == "visits":
            counts = Counts(human_visits=1)
        elif row["link_id"] is None:
            continue  # clicks on pages are counted, whoever made them
        else:
            link = (row["link_id"], row["variant_id"])
            bots[link] = bots.get(link, 0) - sign
            counts = Counts(
                humans=1,
                human_uniques=int(row["is_unique"]),
                human_conversions=int(row["is_conversion"]),
            )
        subjects = subjects_of(
            tenant_id, link=link, project_id=row["project_id"], campaign=row["utm_campaign"]
        )
        changes.count(subjects, id_time(row["id"]), split_row(row), counts, sign=sign)
    if bots := {link: number for link, number in bots.items() if number}:
        await _queries.add_bots(
            db,
            tenant_id=tenant_id,
            link_ids=[link[0] for link in bots],
            variant_ids=[link[1] for link in bots],
            bots=list(bots.values()),
        )
    await write_changes(db, changes)
