"""Month partitions of the event tables, by the time inside their UUIDv7 ids."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    from control_plane.db.pool import Connection

PARTITIONED_TABLES: Final = ("clicks", "visits")
"""Every table that is partitioned by month."""

MONTHS_AHEAD: Final = 3
"""Partitions are made this far ahead, so that a worker may be away for weeks."""

DROP_LOCK_TIMEOUT: Final = "2s"
"""Dropping a partition locks its table whole: give way to the flusher, and come back next hour."""

_queries = load_queries(Path(__file__).with_name("partitions.sql"))


async def make_partitions(db: Connection, now: datetime) -> list[str]:
    """Make the partitions from last month's to MONTHS_AHEAD; give the names of the new ones."""
    made = []
    for table in PARTITIONED_TABLES:
        for months in range(-1, MONTHS_AHEAD + 1):
            month = _add_months(now, months)
            if await _queries.ensure_month_partition(db, parent=table, moment=month):
                made.append(f"{table}_{month:%Y%m}")
    return made


async def list_expired_partitions(db: Connection, now: datetime, keep_months: int) -> list[str]:
    """List the partitions whose every row is at least `keep_months` months old. At least 1."""
    if keep_months < 1:
        raise ValueError(f"keep_months is {keep_months}, but must be at least 1")
    cutoff = _add_months(now, -keep_months)
    return [
        name
        for table in PARTITIONED_TABLES
        async for (name,) in _queries.list_month_partitions(db, parent=table)
        if name < f"{table}_{cutoff:%Y%m}"
    ]


async def drop_partition(db: Connection, name: str) -> None:
    """Drop one partition. Raises asyncpg.LockNotAvailableError when its table is too busy."""
    await db.execute(f"SET LOCAL lock_timeout = '{DROP_LOCK_TIMEOUT}'")
    await db.execute(f'DROP TABLE IF EXISTS "{name}"')


async def trim_default_partitions(db: Connection, now: datetime, keep_months: int) -> None:
    """Delete expired rows that came too late for their partition and lie in the default one."""
    cutoff = _add_months(now, -keep_months)
    await _queries.trim_default_clicks(db, cutoff=cutoff)
    await _queries.trim_default_visits(db, cutoff=cutoff)


def _add_months(moment: datetime, months: int) -> datetime:
    """Give the start of the month (UTC) that lies `months` after that of `moment`."""
    moment = moment.astimezone(UTC)
    years, month = divmod(moment.month - 1 + months, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)
