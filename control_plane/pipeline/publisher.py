"""The publisher: brings every change of a link from Postgres to Redis, where edges read it.

Who changes a link adds a row to link_outbox in the same transaction and notifies CHANNEL. The
publisher claims such rows, reads the links as they then are, writes their records, announces
them on the stream of changes, and deletes the rows: all before it commits, so that a crash
anywhere leaves the rows for the next attempt. lua/publish_link.lua refuses an older version, so
publishers may overlap and repeat.

A Redis that comes back empty gets every link again: see `resync`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from control_plane.core.lua_scripts import load_lua
from control_plane.core.retry import keep_running, sleep_unless
from control_plane.db.pool import load_queries, open_pool
from control_plane.pipeline.link_records import FIRST_KEY, fetch_records, list_keys_after
from edge.contract import redis_keys
from edge.contract.link_record import LinkRecord, encode_link

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from redis.asyncio.client import Pipeline

    from control_plane.db.pool import Connection, Pool
    from control_plane.pipeline.link_records import LinkKey
    from control_plane.settings import Settings

CHANNEL: Final = "link_outbox"
"""NOTIFY on it after adding to link_outbox; without it a change waits for the next poll."""

POLL_S: Final = 0.25
BATCH_SIZE: Final = 500
RESYNC_PAGE_SIZE: Final = 1000
CHANGES_KEPT: Final = 100_000
"""Length of the stream of changes; an edge that fell further behind empties its cache."""

REDIS_TIMEOUT_S: Final = 5.0
"""For one round trip of at most RESYNC_PAGE_SIZE records, which takes some 25 ms."""

RESYNC_LOCK: Final = 0x7379_7273
"""Advisory lock "syrs": one resync at a time."""

_log = structlog.get_logger()
_queries = load_queries(Path(__file__).with_name("publisher.sql"))
_PUBLISH_LINK: Final = load_lua("publish_link")
_PUBLISH_LINK_SHA: Final = hashlib.sha1(_PUBLISH_LINK.encode(), usedforsecurity=False).hexdigest()
_FINISH_RESYNC: Final = load_lua("finish_resync")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Publish changes, and refill Redis whenever it is found empty, until `stop` is set.

    Outlives both servers: while one is away it tries again, with pauses of up to 5 s.
    """
    pool = await open_pool(settings.database_url, size=2)
    redis = open_redis(settings.redis_url)
    try:
        async with asyncio.TaskGroup() as tasks:
            refilling = tasks.create_task(
                keep_running("refill_redis", lambda: _refill_until(stop, pool, redis), stop)
            )
            await keep_running("publish_changes", lambda: _publish_until(stop, pool, redis), stop)
            refilling.cancel()  # a resync cut short leaves no marker, so it starts again next time
    finally:
        await redis.aclose()
        pool.terminate()


def open_redis(url: str) -> Redis:
    """Open a client that leaves retries and timeouts to the functions of this module.

    A failure must come back here to be logged, and a timer per reply would cost a resync a tenth
    of its speed: there is one per round trip instead.
    """
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None)


async def publish_changes(db: Connection, redis: Redis) -> int:
    """Publish one batch of the outbox, in a transaction of its own; give the rows done."""
    async with db.transaction():
        changes = [row async for row in _queries.claim_changes(db, batch_size=BATCH_SIZE)]
        if changes:
            keys = {(change["tenant_id"], change["link_id"]) for change in changes}
            await _write_records(redis, await fetch_records(db, keys), announce=True)
            await _queries.delete_changes(db, ids=[change["id"] for change in changes])
    return len(changes)


async def resync(db_pool: Pool, redis: Redis) -> int:
    """Write every link to Redis and mark it complete; give the number of links.

    Waits while another resync runs. Memory holds one page of links. Starts over when Redis was
    emptied or replaced meanwhile. Changes are published all along: versions settle the order.
    """
    while True:
        async with db_pool.acquire() as db, _hold_resync_lock(db) as is_held:
            if is_held:
                return await _resync_alone(db, redis)
        await asyncio.sleep(POLL_S)


async def is_redis_complete(redis: Redis) -> bool:
    """Tell whether this Redis server, in its present life, was given every link."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.get(redis_keys.links_ready())
        pipe.info("server")
        marker, server = await _execute(pipe)
    return marker is not None and _is_marker_of(marker, server["run_id"])


async def _publish_until(stop: asyncio.Event, pool: Pool, redis: Redis) -> None:
    changed = asyncio.Event()

    def wake(*_notification: object) -> None:
        changed.set()

    async with pool.acquire() as db:
        await db.add_listener(CHANNEL, wake)
        try:
            while not stop.is_set():
                changed.clear()
                while await publish_changes(db, redis) == BATCH_SIZE and not stop.is_set():
                    pass
                await sleep_unless(changed, POLL_S)
        finally:
            await db.remove_listener(CHANNEL, wake)


async def _refill_until(stop: asyncio.Event, pool: Pool, redis: Redis) -> None:
    while not stop.is_set():
        if not await is_redis_complete(redis):
            await _refill(pool, redis)
        await sleep_unless(stop, POLL_S)


async def _refill(pool: Pool, redis: Redis) -> None:
    async with pool.acquire() as db, _hold_resync_lock(db) as is_held:
        # Not held: another publisher is at it. Complete: it has just finished.
        if is_held and not await is_redis_complete(redis):
            await _resync_alone(db, redis)


@contextlib.asynccontextmanager
async def _hold_resync_lock(db: Connection) -> AsyncGenerator[bool]:
    """Take the lock if it is free; the transaction only keeps it.

    "Read committed", so that every page is read as it is after the token was set: what is older
    than the token could have been published to a Redis that has lost it since.
    """
    async with db.transaction(isolation="read_committed"):
        yield await _queries.try_resync_lock(db, lock=RESYNC_LOCK)


async def _resync_alone(db: Connection, redis: Redis) -> int:
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        token = uuid4().hex
        run_id = await _begin_resync(redis, token)
        links = await _write_every_link(db, redis)
        if await _finish_resync(redis, token, f"{run_id}:{uuid4().hex}"):
            _log.info("resync_finished", links=links, duration_s=round(clock() - started, 3))
            return links
        _log.warning("resync_restarted", reason="Redis was emptied meanwhile", links=links)


async def _begin_resync(redis: Redis, token: str) -> str:
    """Leave the token, remove another server's marker, and give the server's run id."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(redis_keys.links_resync(), token)
        pipe.get(redis_keys.links_ready())
        pipe.info("server")
        _, marker, server = await _execute(pipe)
        run_id: str = server["run_id"]
        if marker is not None and not _is_marker_of(marker, run_id):
            pipe.delete(redis_keys.links_ready())
            await _execute(pipe)
    return run_id


async def _write_every_link(db: Connection, redis: Redis) -> int:
    written = 0
    async with contextlib.aclosing(_read_every_link(db)) as pages:
        async for records in pages:
            await _write_records(redis, records, announce=False)
            written += len(records)
    return written


async def _read_every_link(db: Connection) -> AsyncGenerator[list[LinkRecord]]:
    """Yield pages of records; Postgres reads the next page while Redis takes this one."""
    reading = asyncio.create_task(_read_page(db, FIRST_KEY))
    try:
        while page := await reading:
            keys, records = page
            reading = asyncio.create_task(_read_page(db, keys[-1]))
            yield records
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _read_page(db: Connection, after: LinkKey) -> tuple[list[LinkKey], list[LinkRecord]] | None:
    keys = await list_keys_after(db, after, RESYNC_PAGE_SIZE)
    return (keys, await fetch_records(db, keys)) if keys else None


async def _finish_resync(redis: Redis, token: str, marker: str) -> bool:
    async with redis.pipeline(transaction=False) as pipe:
        keys = (redis_keys.links_resync(), redis_keys.links_ready())
        pipe.eval(_FINISH_RESYNC, len(keys), *keys, token, marker)
        (done,) = await _execute(pipe)
    return bool(done)


async def _write_records(redis: Redis, records: Iterable[LinkRecord], *, announce: bool) -> None:
    """Write records in one round trip; `announce` them on the stream of changes after that."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.script_load(_PUBLISH_LINK)  # each time: a server that restarted has forgotten it
        for record in records:
            key = redis_keys.link(record.slug)
            pipe.evalsha(_PUBLISH_LINK_SHA, 1, key, record.version, encode_link(record))
        if announce:
            for record in records:
                change: dict[Any, Any] = {"s": record.slug, "v": record.version}
                pipe.xadd(redis_keys.link_changes(), change, maxlen=CHANGES_KEPT, approximate=True)
        await _execute(pipe)


async def _execute(pipe: Pipeline) -> list[Any]:
    """Run a pipeline. Raises TimeoutError when Redis hangs."""
    async with asyncio.timeout(REDIS_TIMEOUT_S):
        return await pipe.execute()


def _is_marker_of(marker: bytes, run_id: str) -> bool:
    return marker.partition(b":")[0] == run_id.encode()
