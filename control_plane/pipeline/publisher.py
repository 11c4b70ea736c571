"""The publisher: brings every change of a link from Postgres to Redis, where edges read it.

Who changes a link adds a row to link_outbox in the same transaction and notifies CHANNEL. The
publisher claims such rows, reads the links as they then are, writes their records, announces
them on the stream of changes, and deletes the rows: all before it commits, so that a crash
anywhere leaves the rows for the next attempt. lua/publish_link.lua refuses an older version, so
publishers may overlap and repeat.

Custom domains go the same way, from domain_outbox, and ahead of links. Whose a domain is gets written
down in edge_domains with a new version, by one publisher at a time, so that versions follow what was
committed. Links need not be published for that: edges serve those of the tenant who has the domain.

Projects and API keys that may report sales go the same way as well, see intake.py.

A Redis that comes back empty gets every link again, and so does a cluster of which any master has
lost links or may have: see `resync`. It ends by setting a marker for each group of links
(edge/contract/readiness.py), always for all: it is cheap, and needs no plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog

from control_plane.core.lua_scripts import load_lua
from control_plane.core.redis_client import open_redis
from control_plane.core.retry import keep_running, sleep_unless
from control_plane.db.pool import load_queries, open_pool
from control_plane.domains.custom_domains import challenges
from control_plane.pipeline import intake
from control_plane.pipeline.link_records import FIRST_KEY, fetch_records, list_keys_after
from control_plane.pipeline.redis_writes import (
    BATCH_SIZE,
    REDIS_TIMEOUT_S,
    RESYNC_PAGE_SIZE,
    execute,
    write_fields,
)
from edge.contract import redis_keys
from edge.contract.domain_record import NOBODY, DomainRecord, encode_domain
from edge.contract.link_record import LinkRecord, encode_link
from edge.contract.readiness import ASK_HISTORY, is_marker_of, read_history, read_markers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from control_plane.db.pool import Connection, Pool
    from control_plane.pipeline.link_records import LinkKey
    from control_plane.settings import Settings
    from edge.contract.redis_shards import RedisShards

CHANNEL: Final = "link_outbox"
"""NOTIFY on it after adding to link_outbox; without it a change waits for the next poll."""

POLL_S: Final = 0.25
CHANGES_KEPT: Final = 100_000
"""Length of the stream of changes; an edge that fell further behind empties its cache."""

RESYNC_LOCK: Final = 0x7379_7273
"""Advisory lock "syrs": one resync at a time."""
DOMAINS_LOCK: Final = 0x7379_646F
"""Advisory lock "sydo": from looking at custom domains until Redis has what was seen, one at a time."""

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
    redis = open_redis(settings.redis_url, timeout_s=None)
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


async def publish_changes(db: Connection, redis: RedisShards) -> int:
    """Publish one batch of the outbox, in a transaction of its own; give the rows done."""
    async with db.transaction():
        changes = [row async for row in _queries.claim_changes(db, batch_size=BATCH_SIZE)]
        if changes:
            keys = {(change["tenant_id"], change["link_id"]) for change in changes}
            await _write_records(redis, await fetch_records(db, keys), announce=True)
            await _queries.delete_changes(db, ids=[change["id"] for change in changes])
    return len(changes)


async def publish_domains(db: Connection, redis: RedisShards) -> int:
    """Publish one batch of changes of custom domains, in a transaction of its own; give the rows done."""
    async with db.transaction(isolation="read_committed"):
        changes = [row async for row in _queries.claim_domain_changes(db, batch_size=BATCH_SIZE)]
        if changes:
            await _queries.hold_domains(db, lock=DOMAINS_LOCK)
            names = sorted({change["domain"] for change in changes})
            records = [_read_domain(row) async for row in _queries.settle_domains(db, domains=names)]
            await _write_domains(redis, records)
            await _announce(
                redis, {redis_keys.link_key(record.domain, ""): record.version for record in records}
            )
            await _queries.delete_domain_changes(db, ids=[change["id"] for change in changes])
    return len(changes)


async def resync(db_pool: Pool, redis: RedisShards) -> int:
    """Write every custom domain and link to Redis and mark it complete; give the number of links.

    Waits while another resync runs. Memory holds one page of links. Starts over when Redis was
    emptied or replaced meanwhile. Changes are published all along: versions settle the order.
    """
    while True:
        async with db_pool.acquire() as db, _hold_resync_lock(db) as is_held:
            if is_held:
                return await _resync_alone(db, redis)
        await asyncio.sleep(POLL_S)


async def is_redis_complete(redis: RedisShards) -> bool:
    """Tell whether every master, in its present life, was given every link that it should hold."""
    async with asyncio.timeout(REDIS_TIMEOUT_S):
        return None not in await read_markers(redis)


async def _publish_until(stop: asyncio.Event, pool: Pool, redis: RedisShards) -> None:
    changed = asyncio.Event()

    def wake(*_notification: object) -> None:
        changed.set()

    async with pool.acquire() as db:
        await db.add_listener(CHANNEL, wake)
        try:
            while not stop.is_set():
                changed.clear()
                while await publish_domains(db, redis) == BATCH_SIZE and not stop.is_set():
                    pass
                while await intake.publish_changes(db, redis) == BATCH_SIZE and not stop.is_set():
                    pass
                while await publish_changes(db, redis) == BATCH_SIZE and not stop.is_set():
                    pass
                await sleep_unless(changed, POLL_S)
        finally:
            await db.remove_listener(CHANNEL, wake)


async def _refill_until(stop: asyncio.Event, pool: Pool, redis: RedisShards) -> None:
    while not stop.is_set():
        if not await is_redis_complete(redis):
            await _refill(pool, redis)
        await sleep_unless(stop, POLL_S)


async def _refill(pool: Pool, redis: RedisShards) -> None:
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


async def _resync_alone(db: Connection, redis: RedisShards) -> int:
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        token = uuid4().hex
        histories = await _begin_resync(redis, token)
        await _write_every_domain(db, redis)
        await intake.write_every_record(db, redis)
        links = await _write_every_link(db, redis)
        if await _finish_resync(redis, token, histories):
            _log.info("resync_finished", links=links, duration_s=round(clock() - started, 3))
            return links
        _log.warning("resync_restarted", reason="Redis was emptied meanwhile", links=links)


async def _begin_resync(redis: RedisShards, token: str) -> dict[int, bytes]:
    """Leave the token in each group, remove markers that no longer hold, and give the groups' histories."""
    histories: dict[int, bytes] = {}
    for groups in await _split_groups(redis):
        async with (
            redis.at(redis_keys.links_ready(groups[0])) as master,
            master.pipeline(transaction=False) as pipe,
        ):
            pipe.execute_command(ASK_HISTORY)
            for group in groups:
                pipe.set(redis_keys.links_resync(group), token)
                pipe.get(redis_keys.links_ready(group))
            answer, *answers = await execute(pipe)
            history = read_history(answer)
            histories |= dict.fromkeys(groups, history)
            for group, marker in zip(groups, answers[1::2], strict=True):
                if marker is not None and not is_marker_of(marker, history):
                    pipe.delete(redis_keys.links_ready(group))
            await execute(pipe)
    return histories


async def _split_groups(redis: RedisShards) -> list[list[int]]:
    """Sort the groups of links by the master that holds them."""
    by_key = {redis_keys.links_ready(group): group for group in range(redis_keys.GROUPS)}
    return [[by_key[key] for key in keys] for keys in await redis.split(by_key)]


async def _write_every_domain(db: Connection, redis: RedisShards) -> None:
    """Write the domains; while it looks at them, nobody is between settling some and committing that."""
    await _queries.lock_domains(db, lock=DOMAINS_LOCK)
    try:
        await _write_domains(redis, [_read_domain(row) async for row in _queries.list_domains(db)])
    finally:
        await _queries.unlock_domains(db, lock=DOMAINS_LOCK)


async def _write_every_link(db: Connection, redis: RedisShards) -> int:
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


async def _finish_resync(redis: RedisShards, token: str, histories: dict[int, bytes]) -> bool:
    """Set the markers. Tell whether all could be set.

    A marker names the history at the beginning: where a replica has taken over meanwhile, which may
    lack what was written before, it counts for nothing.
    """
    epoch, done = f":{uuid4().hex}".encode(), True
    for groups in await _split_groups(redis):
        async with (
            redis.at(redis_keys.links_ready(groups[0])) as master,
            master.pipeline(transaction=False) as pipe,
        ):
            for group in groups:
                keys = (redis_keys.links_resync(group), redis_keys.links_ready(group))
                pipe.eval(_FINISH_RESYNC, len(keys), *keys, token, histories[group] + epoch)
            done &= all(await execute(pipe))
    return done


async def _write_records(redis: RedisShards, records: Iterable[LinkRecord], *, announce: bool) -> None:
    """Write records in one round trip per master; `announce` them on the stream of changes after that."""
    by_key = {redis_keys.link(record.key): record for record in records}
    for keys in await redis.split(by_key):
        async with redis.at(keys[0]) as master, master.pipeline(transaction=False) as pipe:
            pipe.script_load(_PUBLISH_LINK)  # each time: a server that restarted has forgotten it
            for key in keys:
                record = by_key[key]
                pipe.evalsha(_PUBLISH_LINK_SHA, 1, key, record.version, encode_link(record))
            await execute(pipe)
    if announce:
        await _announce(redis, {record.key: record.version for record in by_key.values()})


async def _write_domains(redis: RedisShards, records: Sequence[DomainRecord]) -> None:
    """Write records of custom domains."""
    fields = [(record.domain, record.version, encode_domain(record)) for record in records]
    await write_fields(redis, redis_keys.domains(), fields)


def _read_domain(row: Mapping[str, Any]) -> DomainRecord:
    tenant_id, token = row["tenant_id"], row["challenge"]
    if tenant_id is None or token is None:
        return DomainRecord(row["domain"], row["version"], NOBODY)
    proof_path, proof = challenges.file_path(token), challenges.proof_of(token)
    return DomainRecord(row["domain"], row["version"], tenant_id.bytes, proof_path, proof)


async def _announce(redis: RedisShards, versions: dict[str, int]) -> None:
    """Tell edges what has changed: versions by key."""
    if not versions:
        return
    stream = redis_keys.link_changes()
    async with redis.at(stream) as master, master.pipeline(transaction=False) as pipe:
        for key, version in versions.items():
            change: dict[Any, Any] = {"s": key, "v": version}
            pipe.xadd(stream, change, maxlen=CHANGES_KEPT, approximate=True)
        await execute(pipe)
