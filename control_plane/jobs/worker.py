"""The worker: runs what is due by the clock, on PgQueuer's schedules, and delivers messages.

Any number of workers may run: PgQueuer hands each due time, and each message, to one of them, and to
another when that one dies on the way. A time that passed while none ran is made up for once.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.core.sm import SchedulerManager

from control_plane.core.clock import utc_now
from control_plane.core.retry import keep_running
from control_plane.db.data_keys import SealerSource
from control_plane.db.job_queue import job_queries
from control_plane.db.pool import open_pool
from control_plane.delivery.courier import Courier
from control_plane.domains.messages.service import SEND_MESSAGE
from control_plane.domains.sign_in.messages import SEND_AGAIN
from control_plane.jobs import domain_checks, privacy, upkeep, winners
from control_plane.jobs.messages import AT_ONCE, deliver_messages
from control_plane.jobs.send_again import send_again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from pgqueuer.domain.models import Schedule

    from control_plane.db.pool import Pool
    from control_plane.jobs.messages import Work
    from control_plane.settings import Settings

    Job: TypeAlias = Callable[[Pool, Settings, datetime], Awaitable[None]]

SCHEDULES: Final[dict[str, tuple[str, Job]]] = {
    "make_partitions": ("5 * * * *", upkeep.make_partitions),
    "drop_partitions": ("15 * * * *", upkeep.drop_partitions),
    "trim_journal_ledger": ("25 3 * * *", upkeep.trim_journal_ledger),
    "check_domains": ("*/10 * * * *", domain_checks.check_domains),
    "look_for_winners": ("* * * * *", winners.look_for_winners),
    "carry_out_erasures": ("* * * * *", privacy.carry_out_erasures),
    "apply_retention": ("20 * * * *", privacy.apply_retention),
    "trim_erased_subjects": ("55 3 * * *", privacy.trim_erased_subjects),
    "forget_visitors": ("45 * * * *", upkeep.forget_visitors),
    "trim_answers": ("55 * * * *", upkeep.trim_answers),
    "trim_job_log": ("35 3 * * *", upkeep.trim_job_log),
    "trim_dead_messages": ("45 3 * * *", upkeep.trim_dead_messages),
}
"""Name -> (when, in cron's notation and UTC; job)."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run jobs when they are due until `stop` is set, and let those that run come to their end.

    A job that fails is logged and runs again at its next time. While Postgres is away the worker
    tries again, with pauses of up to 5 s. Schedules and messages have connections of their own, so that
    neither waits for the other. Raises ValueError when a setting is missing or malformed.
    """
    if not settings.master_key:
        raise ValueError(
            "SWITCHYARD_MASTER_KEY is required by the jobs worker: 32 random bytes in base64 or hex"
        )
    pool = await open_pool(settings.database_url, size=len(SCHEDULES))
    delivery_pool = await open_pool(settings.database_url, size=AT_ONCE // 4)
    # PgQueuer wants connections without our codec for jsonb.
    schedule_pool = await asyncpg.create_pool(settings.database_url, min_size=0, max_size=2)
    queue_pool = await asyncpg.create_pool(settings.database_url, min_size=0, max_size=4)
    sealer = SealerSource.read(delivery_pool, settings.master_key, settings.previous_master_key, utc_now)
    courier = Courier(settings, delivery_pool, sealer, utc_now)
    works: dict[str, Work] = {
        SEND_MESSAGE: courier.deliver,
        SEND_AGAIN: functools.partial(send_again, delivery_pool, sealer),
    }

    async def run_schedules() -> None:
        scheduler = SchedulerManager(job_queries(AsyncpgPoolDriver(schedule_pool)))
        scheduler.shutdown = stop
        for name, (when, job) in SCHEDULES.items():
            scheduler.schedule(name, when)(functools.partial(_run_job, job, pool, settings))
        await scheduler.run()

    async def run_queue() -> None:
        await deliver_messages(queue_pool, works, stop)

    try:
        # Not gather, which does not wait for the other when one of them is cancelled: they need the pools.
        async with asyncio.TaskGroup() as both:
            both.create_task(keep_running("run_schedules", run_schedules, stop))
            both.create_task(keep_running("deliver_messages", run_queue, stop))
    finally:
        for opened in (queue_pool, schedule_pool, delivery_pool, pool):
            opened.terminate()


async def _run_job(job: Job, pool: Pool, settings: Settings, _schedule: Schedule) -> None:
    await job(pool, settings, utc_now())
