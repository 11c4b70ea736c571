"""Connections to Postgres, and the loader of named queries.

One transaction per use-case, opened at the boundary (a handler or a job)::

    async with pool.acquire() as db, db.transaction():
        ...

Services and stores take `db` and never commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiosql
import asyncpg
import orjson

if TYPE_CHECKING:
    import uuid
    from pathlib import Path

    from asyncpg.pool import PoolConnectionProxy

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

COMMAND_TIMEOUT_S: Final = 30.0
"""No statement of a request or a job runs longer; migrations use a connection without a limit."""

JSONB_VERSION: Final = b"\x01"
"""Postgres puts this byte in front of jsonb in its binary format."""


API_ROLE: Final = "switchyard_api"
"""Sees the rows of one tenant: that of the transaction, see `enter_tenant`."""

SYSTEM_ROLE: Final = "switchyard_system"
"""Sees the rows of all tenants, and owns nothing."""


async def open_pool(
    database_url: str,
    *,
    size: int = 10,
    role: str | None = None,
    command_timeout_s: float | None = COMMAND_TIMEOUT_S,
) -> Pool:
    """Open a pool of at most `size` connections.

    `role`: the role that they take on, None for the one that logged in. `command_timeout_s`: None for work
    that looks through all there is.

    It connects when a connection is first wanted, so a process may start before Postgres does.
    jsonb columns and parameters are plain Python values.
    """
    return await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size,
        init=_read_jsonb_as_values,
        command_timeout=command_timeout_s,
        server_settings={"application_name": "switchyard"} | ({"role": role} if role else {}),
    )


async def enter_tenant(db: Connection, tenant_id: uuid.UUID) -> None:
    """Let the transaction see the rows of this tenant, and of no other.

    Its queries are not compiled (jit): over many partitions Postgres expects so much work that it spends
    half a second on that, for queries of a few milliseconds.
    """
    await db.fetchval(
        "SELECT set_config('app.tenant_id', $1, true), set_config('jit', 'off', true)", str(tenant_id)
    )


async def enter_system(db: Connection) -> None:
    """Let the transaction see the rows of all tenants: before it is known whose they are."""
    await db.execute(f"SET LOCAL ROLE {SYSTEM_ROLE}")


async def plan_each_time(db: Connection) -> None:
    """Plan the queries of this transaction for their parameters, whatever was planned for others before.

    For queries with filters that may be NULL: the plan that suits all of them suits none.
    """
    await db.execute("SET LOCAL plan_cache_mode = force_custom_plan")


def load_queries(path: Path) -> Any:
    """Load the named queries of one `.sql` file as methods that take `db` and keywords.

    The methods are made at run time, hence Any; tests/migrations/test_queries.py prepares each.
    """
    return aiosql.from_path(path, "asyncpg")


async def _read_jsonb_as_values(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=_encode_jsonb,
        decoder=_decode_jsonb,
    )


def _encode_jsonb(value: Any) -> bytes:
    return JSONB_VERSION + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(data[len(JSONB_VERSION) :])
