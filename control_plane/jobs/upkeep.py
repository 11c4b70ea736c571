"""Upkeep of the database: partitions, and tables that would grow without end.

Every job may run at any time, twice, or late.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from control_plane.db import partitions
from control_plane.db.pool import load_queries
from control_plane.domains.messages.service import SEND_MESSAGE
from control_plane.pipeline.visitors import PARTS

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings

LEDGER_KEPT: Final = timedelta(days=90)
"""A journal that is silent for so long is gone. Should it come back all the same, the chunks that
it ships again land again."""

SALTS_KEPT: Final = timedelta(days=5)
"""Clicks that were kept back for longer, on an edge without a way to Redis, get numbers of their own."""

LOCK_TIMEOUT: Final = "2s"
"""Emptying a table locks it whole: give way to the flusher, and come back next hour."""

JOB_LOG_KEPT: Final = timedelta(days=30)

DEAD_MESSAGES_KEPT: Final = timedelta(days=30)

ANSWERS_KEPT: Final = timedelta(days=1)
"""How long a request with an Idempotency-Key is answered as it was before."""

_log = structlog.get_logger()
_queries = load_queries(Path(__file__).with_name("upkeep.sql"))


async def make_partitions(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Make the partitions of the coming months."""
    async with pool.acquire() as db, db.transaction():
        made = await partitions.make_partitions(db, now)
    if made:
        _log.info("partitions_made", names=made)


async def drop_partitions(pool: Pool, settings: Settings, now: datetime) -> None:
    """Drop the partitions that are older than settings.click_retention_months; 0 keeps all.

    A partition whose table is too busy is left for the next time.
    """
    months = settings.click_retention_months
    if not months:
        return
    async with pool.acquire() as db:
        for name in await partitions.list_expired_partitions(db, now, months):
            try:
                async with db.transaction():
                    await partitions.drop_partition(db, name)
            except asyncpg.LockNotAvailableError:
                _log.info("partition_busy", name=name)
            else:
                _log.info("partition_dropped", name=name)
        await partitions.trim_default_partitions(db, now, months)


async def trim_journal_ledger(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Forget journals that nothing landed from for LEDGER_KEPT."""
    await _queries.trim_journal_ledger(pool, cutoff=now - LEDGER_KEPT)


async def forget_visitors(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Delete the salts of days older than SALTS_KEPT, and empty the next part of the visitors that were seen.

    That part held the day PARTS before: what lands later than that is counted as seen for the first time.
    """
    today = now.astimezone(UTC).date()
    next_part = (today.toordinal() - date(1970, 1, 1).toordinal() + 1) % PARTS
    async with pool.acquire() as db, db.transaction():
        await _queries.trim_salts(db, cutoff=today - SALTS_KEPT)
        await db.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        await db.execute(f"TRUNCATE visitors_seen_{next_part}")


async def trim_job_log(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Delete PgQueuer's log and statistics older than JOB_LOG_KEPT; it never does so itself."""
    async with pool.acquire() as db, db.transaction():
        await _queries.trim_job_log(db, cutoff=now - JOB_LOG_KEPT)
        await _queries.trim_job_statistics(db, cutoff=now - JOB_LOG_KEPT)


async def trim_dead_messages(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Delete messages that could not be delivered, once they are older than DEAD_MESSAGES_KEPT."""
    await _queries.trim_dead_messages(pool, entrypoint=SEND_MESSAGE, cutoff=now - DEAD_MESSAGES_KEPT)


async def trim_answers(pool: Pool, _settings: Settings, now: datetime) -> None:
    """Delete idempotency keys with the answers kept for them, older than ANSWERS_KEPT."""
    await _queries.trim_answers(pool, cutoff=now - ANSWERS_KEPT)
