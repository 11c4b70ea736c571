"""The queue of messages: at least once, with growing pauses, until it is hopeless.

A job is PgQueuer's row in `pgqueuer`. While it is worked on, its worker sends heartbeats; a row whose
heartbeat stops is run by another worker, or by the same one when it is back. A message that was
delivered is deleted; one that never will be stays with status `failed`, its reason in `pgqueuer_log`
(./switchyard doctor counts them), until upkeep deletes it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested

from control_plane.core.retry import OUTAGES
from control_plane.db.job_queue import SETTINGS, job_queries
from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    import asyncpg
    from pgqueuer.domain.models import Job, TracebackRecord

    Work: TypeAlias = Callable[[int, bytes, datetime], Awaitable[None]]

RETRY_DELAYS: Final = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)
"""Pauses after the first attempt, the second and so on. After the last one the message is dead."""

JITTER: Final = 0.2
"""Part of a pause by which it differs at random, so that what failed together does not come back together."""

AT_ONCE: Final = 20
"""Messages that one worker delivers at the same time."""

POLL: Final = timedelta(seconds=5)
"""How often to look for messages that no notification told of, as those of a worker that died."""

HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)

_log = structlog.get_logger()


class MessageDead(Exception):  # noqa: N818  named for what happened
    """A message will not be delivered. `str(error)`: why."""


class LeftUndone(BaseException):
    """A job is left as it is: its heartbeat stops, and it is run again.

    Not an Exception: PgQueuer takes those for the end of the job, and a cancelled task for a cancelled job.
    """


class _WithoutTheDead(logging.Filter):
    """Keeps PgQueuer from printing a traceback of a message's end, which is logged here with its reason."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], MessageDead))


_without_the_dead = _WithoutTheDead()


class QueueQueries(Queries):
    """PgQueuer's queries, but that a retry that cannot be noted down is no end of the job."""

    async def retry_job(
        self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None = None
    ) -> None:
        """Note that a job is to run again. Raises LeftUndone while Postgres is away."""
        try:
            await super().retry_job(job, delay, traceback_record)
        except OUTAGES as error:
            raise LeftUndone from error


async def deliver_messages(
    pool: asyncpg.Pool[asyncpg.Record], works: Mapping[str, Work], stop: asyncio.Event
) -> None:
    """Deliver messages until `stop` is set, and let those under way come to their end.

    `works`: what to do with a job's id, payload and time, by entrypoint. `pool`: plain connections, at
    least two, one of which listens. Raises when Postgres goes away.
    """
    logging.getLogger("pgqueuer").addFilter(_without_the_dead)
    manager = QueueManager(job_queries(AsyncpgPoolDriver(pool), QueueQueries), SETTINGS.channel)
    for entrypoint, work in works.items():
        manager.entrypoint(entrypoint, on_failure="hold", accepts_context=False)(_make_job(work))
    # Not `stop` itself: the manager sets its own when its listener fails, and then starts anew.
    stopping = asyncio.create_task(_pass_on(stop, manager.shutdown))
    try:
        await manager.run(
            dequeue_timeout=POLL,
            batch_size=AT_ONCE // 2,
            max_concurrent_tasks=AT_ONCE,
            shutdown_on_listener_failure=True,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
        )
    finally:
        stopping.cancel()


async def _pass_on(stop: asyncio.Event, shutdown: asyncio.Event) -> None:
    await stop.wait()
    shutdown.set()


def _make_job(work: Work) -> Callable[[Job], Awaitable[None]]:
    async def run_job(job: Job) -> None:
        try:
            await work(job.id, job.payload or b"", job.created)
        except DeliveryRefused as error:
            raise _bury(job, str(error)) from None
        except DeliveryDelayed as error:
            raise _retry(job, str(error), error.retry_after) from None
        except asyncio.CancelledError as error:
            raise LeftUndone from error
        except Exception as error:  # noqa: BLE001  a message is not given up for a mistake of ours
            if not isinstance(error, OUTAGES):
                _log.exception("message_failed", job=job.id)
            raise _retry(job, type(error).__name__) from None
        _log.info("message_delivered", job=job.id, attempts=job.attempts + 1)

    return run_job


def _retry(job: Job, reason: str, retry_after: timedelta | None = None) -> Exception:
    """Give what has the job run again, or an end when it was tried often enough."""
    if job.attempts >= len(RETRY_DELAYS):
        return _bury(job, reason)
    pause = RETRY_DELAYS[job.attempts] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  spreads load
    pause = max(pause, retry_after or pause)
    _log.warning(
        "message_delayed",
        job=job.id,
        reason=reason,
        attempts=job.attempts + 1,
        retry_in_s=round(pause.total_seconds()),
    )
    return RetryRequested(pause, reason)


def _bury(job: Job, reason: str) -> MessageDead:
    _log.error("message_dead", job=job.id, reason=reason, attempts=job.attempts + 1)
    return MessageDead(reason)
