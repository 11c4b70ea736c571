"""The worker: runs what is due by the clock, on PgQueuer's schedules.

Any number of workers may run: PgQueuer hands each due time to one of them, and to another when
that one dies on the way. A time that passed while none ran is made up for once.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.core.sm import SchedulerManager

from control_plane.core.clock import utc_now
from control_plane.core.retry import keep_running
from control_plane.db.job_queue import job_queries
from control_plane.db.pool import open_pool
from control_plane.jobs import domain_checks, upkeep

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from pgqueuer.domain.models import Schedule

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings

    Job: TypeAlias = Callable[[Pool, Settings, datetime], Awaitable[None]]

SCHEDULES: Final[dict[str, tuple[str, Job]]] = {
    "make_partitions": ("5 * * * *", upkeep.make_partitions),
    "drop_partitions": ("15 * * * *", upkeep.drop_partitions),
    "trim_journal_ledger": ("25 3 * * *", upkeep.trim_journal_ledger),
    "check_domains": ("*/10 * * * *", domain_checks.check_domains),
    "trim_job_log": ("35 3 * * *", upkeep.trim_job_log),
}
"""Name -> (when, in cron's notation and UTC; job)."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run jobs when they are due until `stop` is set, and let those that run come to their end.

    A job that fails is logged and runs again at its next time. While Postgres is away the worker
    tries again, with pauses of up to 5 s.
    """
    pool = await open_pool(settings.database_url, size=len(SCHEDULES))
    # PgQueuer wants connections without our codec for jsonb.
    schedule_pool = await asyncpg.create_pool(settings.database_url, min_size=0, max_size=2)

    async def run_schedules() -> None:
        scheduler = SchedulerManager(job_queries(AsyncpgPoolDriver(schedule_pool)))
        scheduler.shutdown = stop
        for name, (when, job) in SCHEDULES.items():
            scheduler.schedule(name, when)(functools.partial(_run_job, job, pool, settings))
        await scheduler.run()

    try:
        await keep_running("run_schedules", run_schedules, stop)
    finally:
        schedule_pool.terminate()
        pool.terminate()


async def _run_job(job: Job, pool: Pool, settings: Settings, _schedule: Schedule) -> None:
    await job(pool, settings, utc_now())
