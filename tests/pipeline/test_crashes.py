"""Flushers and servers die while conversions land: each counts once, and is joined to what it is of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import zlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uuid_utils

from control_plane.domains.traffic.check import find_disagreements
from edge.contract import redis_keys
from edge.contract.events import Chunk, Conversion, ConversionKind, encode_event
from tests.pipeline.test_flusher import RunningFlusher, count, frame, make_click, ship
from tests.support import eventually

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Sequence

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings
    from edge.contract.events import Click, Event
    from tests.conftest import TestServer

PROJECT = UUID(int=2)
EVENTS_PER_CHUNK = 5
ORDERS = 120
"""They make 96 chunks, of which a flusher takes 32 at once: there are enough for two."""
PROGRAM = (
    "import asyncio; from control_plane import settings; from control_plane.pipeline import flusher;"
    "asyncio.run(flusher.run(settings.read_settings(), asyncio.Event()))"
)


def make_journal_chunk(number: int, events: Sequence[Event]) -> Chunk:
    """Make the only chunk of a journal of its own."""
    body = b"".join(frame(encode_event(event)) for event in events)
    return Chunk(f"{number:032x}", 1, len(events), zlib.crc32(body), body)


def report(kind: ConversionKind, external_id: str, **facts: Any) -> Conversion:
    return Conversion(
        id=uuid_utils.uuid7().bytes,
        tenant_id=UUID(int=1).bytes,
        project_id=PROJECT.bytes,
        kind=kind,
        external_id=external_id,
        **{"status": "completed", "amount_minor": 1000, "commission_minor": 0, **facts},
        currency="USD",
        source="postback",
    )


def make_orders(clicks: Sequence[Click]) -> list[Chunk]:
    """Spread clicks, the sales that they brought, and refunds of these over journals, the last first.

    Every sale is reported twice, in journals that different flushers may land at the same time.
    """
    refunds = [
        report(ConversionKind.REFUND, f"refund-{number}", sale_id=f"sale-{number}", amount_minor=400)
        for number in range(len(clicks))
    ]
    sales = [
        report(ConversionKind.SALE, f"sale-{number}", click_id=str(UUID(bytes=click.id)))
        for number, click in enumerate(clicks)
    ]
    events: list[Event] = [*refunds, *sales, *sales[::-1], *clicks]
    firsts = range(0, len(events), EVENTS_PER_CHUNK)
    pieces = [events[first : first + EVENTS_PER_CHUNK] for first in firsts]
    return [make_journal_chunk(number, piece) for number, piece in enumerate(pieces, start=1)]


@contextlib.asynccontextmanager
async def flusher_process(settings: Settings, name: str) -> AsyncIterator[Process]:
    environment = {
        **os.environ,
        "SWITCHYARD_DATABASE_URL": settings.database_url,
        "SWITCHYARD_REDIS_URL": settings.redis_url,
        "SWITCHYARD_JWT_SECRET": settings.jwt_secret,
        "SWITCHYARD_FLUSHER_NAME": name,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def assert_all_joined(pool: Pool, clicks: Sequence[Click]) -> None:
    """See that each sale has its click and its refund, once, and that every sum agrees."""

    async def are_joined() -> bool:
        joined = await pool.fetchval(
            "SELECT count(*) FROM conversions sale JOIN conversions refund ON refund.target_id = sale.id"
            " WHERE sale.kind = 2 AND sale.attributed_click IS NOT NULL AND sale.refunded_minor = 400"
        )
        return bool(joined == len(clicks))

    await eventually(are_joined, timeout_s=60)
    assert await count(pool, "conversions") == 2 * len(clicks)
    assert await count(pool, "clicks WHERE is_conversion") == len(clicks)
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        assert [wrong async for wrong in find_disagreements(db)] == []
    assert await pool.fetchval("SELECT sum(conversions) FROM click_totals") == len(clicks)
    net = (
        "SELECT sum(gross_minor - refunded_minor) FROM revenue_slots WHERE subject_kind = 2 AND dimension = 0"
    )
    assert await pool.fetchval(net) == 600 * len(clicks)


async def test_two_flushers_of_which_one_is_killed_in_the_middle_of_landing(
    db_pool: Pool, redis: Redis, settings: Settings
) -> None:
    clicks = [make_click(project_id=PROJECT.bytes) for _ in range(ORDERS)]
    await ship(redis, *make_orders(clicks))
    async with contextlib.AsyncExitStack() as second:
        async with flusher_process(settings, "first") as first, db_pool.acquire() as db, db.transaction():
            # Sums are written last: who waits for them has written rows, and has not committed.
            await db.execute("LOCK TABLE revenue_slots, traffic_slots IN EXCLUSIVE MODE")
            await eventually(lambda: _count_waiting(db_pool), timeout_s=30)
            await second.enter_async_context(flusher_process(settings, "second"))
            await eventually(lambda: _has_chunks(redis, "second"), timeout_s=30)
            first.kill()
            await first.wait()
        async with flusher_process(settings, "first"):
            await assert_all_joined(db_pool, clicks)


async def _count_waiting(pool: Pool) -> int:
    """Count the transactions that wait for a sum."""
    waiting: int = await pool.fetchval(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation"
        " IN ('revenue_slots'::regclass, 'traffic_slots'::regclass)"
    )
    return waiting


async def _has_chunks(redis: Redis, flusher: str) -> bool:
    """Tell whether a flusher has chunks in hand."""
    consumers: Any = await redis.xinfo_consumers(redis_keys.events(0), redis_keys.FLUSHER_GROUP)
    return any(one["pending"] for one in consumers if one["name"].decode().startswith(flusher))


async def test_postgres_dies_between_landing_and_joining(
    db_pool: Pool, redis: Redis, settings: Settings, postgres_server: TestServer
) -> None:
    clicks = [make_click(project_id=PROJECT.bytes) for _ in range(EVENTS_PER_CHUNK)]
    *reports, last = make_orders(clicks)
    running = RunningFlusher(settings)
    try:
        await ship(redis, *reports)
        await eventually(lambda: _is_landed(db_pool, 2 * len(clicks)), timeout_s=30)
        postgres_server.kill()
        postgres_server.start()
        await db_pool.expire_connections()
        waiting = "conversions WHERE kind = 2 AND waits_for = 'click'"
        assert await count(db_pool, waiting) == len(clicks)
        await ship(redis, last)
        await assert_all_joined(db_pool, clicks)
    finally:
        await running.kill()


async def _is_landed(pool: Pool, conversions: int) -> bool:
    return await count(pool, "conversions") == conversions
