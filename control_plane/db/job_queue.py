"""PgQueuer's tables: how they are named and kept.

PgQueuer reads its names from environment variables, some as general as CHANNEL or TRIGGER.
They are fixed here instead, so that every process means the same tables.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel

from control_plane.db.pool import API_ROLE, SYSTEM_ROLE

if TYPE_CHECKING:
    import asyncpg
    from pgqueuer.ports.driver import Driver

    from control_plane.db.pool import Connection

SETTINGS: Final = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    # Jobs and schedules survive a crash of Postgres; their log and statistics need not.
    durability=Durability.balanced,
    widen_id=True,
)


def job_queries(driver: Driver, kind: type[Queries] = Queries) -> Queries:
    """Build PgQueuer's queries over our tables. `kind`: of these, or of a class derived from them.

    The driver's connections must be plain ones: PgQueuer encodes jsonb itself.
    """
    return kind(
        driver,
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


async def upgrade_job_queue(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Bring PgQueuer's tables to what the installed PgQueuer declares.

    PgQueuer compares the catalog with its declaration and runs only the difference: everything
    in an empty database, nothing in a current one, the rest after an interrupted run. It never
    drops tables or columns, so processes of the previous version go on working meanwhile.
    """
    await job_queries(AsyncpgDriver(connection)).upgrade()
    # Whoever changes something may enqueue what has to follow from it, and nothing else.
    for role in (API_ROLE, SYSTEM_ROLE):
        await connection.execute(
            f"GRANT SELECT, INSERT ON {SETTINGS.queue_table}, {SETTINGS.queue_table_log} TO {role};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        )


async def enqueue_job(
    db: Connection, entrypoint: str, payload: bytes, *, delay: timedelta = timedelta()
) -> None:
    """Enqueue a job in the transaction of `db`: it runs if, and only if, that commits.

    `entrypoint`: one of control_plane/jobs/worker.py. Over our pool's connections, whose jsonb codec
    PgQueuer itself does not expect.
    """
    statement = QueryQueueBuilder(SETTINGS).build_enqueue_query()
    await db.fetch(statement, [0], [entrypoint], [payload], [delay], [None], [{}])
