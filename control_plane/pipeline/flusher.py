"""Redis Streams -> Postgres: every event once, whatever dies when.

A round: read stream entries, build their rows, and in ONE transaction ask the ledger which chunks
are new, COPY their rows, add to the rollups, and enter the chunks into the ledger. After the commit
the journals' owners are told how far they have landed, and only then are the entries acknowledged
and deleted. Dying between any two steps repeats a round, and the ledger drops what it knows.

Every partition of the stream that an edge ships to has its lane; the first, which on a single server
is the only one, has two, so that one builds rows while Postgres works for the other. Each lane is a
consumer of its own, and begins with what its predecessor of the same name left pending. Any number of
flushers share the partitions: whoever asks gets the next chunks. Those that another flusher left
pending for long are claimed.

What cannot be landed goes to the dead-letter stream with its reason: an entry that cannot be read
(its journal ships the chunk again), a single event that cannot be decoded, or a chunk whose rows
Postgres refuses for what they hold. Nothing waits behind it.
"""

from __future__ import annotations

import asyncio
import gc
import math
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import asyncpg
import structlog
from redis.exceptions import ResponseError

from control_plane.core.lua_scripts import load_lua
from control_plane.core.redis_client import open_redis
from control_plane.core.retry import keep_running, sleep_unless
from control_plane.db.pool import open_pool
from control_plane.domains.conversions.service import JOINED_AT_ONCE, join_waiting
from control_plane.pipeline.forgetting import Forgetter
from control_plane.pipeline.landing import (
    LONGEST_SEQUENCE,
    BadEvent,
    Batch,
    claim_chunks,
    list_watermarks,
    record_landed,
    write_batch,
)
from control_plane.pipeline.verdicts import Judge, MinuteCounter
from control_plane.pipeline.visitors import VisitorSalts
from edge.contract import redis_keys
from edge.contract.events import BadChunkError, Chunk, read_chunk
from edge.contract.partitions import read_partitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from control_plane.db.pool import Pool
    from control_plane.settings import Settings
    from edge.contract.redis_shards import RedisShards

log = structlog.get_logger()
_RAISE_LANDED: Final = load_lua("raise_landed")

LANES_OF_FIRST: Final = 2
LANDING_AT_ONCE: Final = 2
"""Connections to Postgres, which all lanes share; joining conversions has one more."""
PARTITIONS_EVERY_S: Final = 1.0
JOIN_EVERY_S: Final = 1.0
CHUNKS_PER_ROUND: Final = 16
"""At most 4 MiB of events, which bounds the memory of a lane whatever the backlog."""
BLOCK_MS: Final = 500
REDIS_TIMEOUT_S: Final = 5.0
CLAIM_IDLE_MS: Final = 30_000
CLAIM_EVERY_S: Final = 10.0
DRAIN_S: Final = 5.0
"""Edges may go on filling the stream while a flusher stops; the next one lands what is left."""
LANDED_TTL_S: Final = 7 * 86_400
"""A journal that asks later ships again what it kept, and is told anew."""
DEAD_LETTERS_KEPT: Final = 10_000

Entry = tuple[bytes, dict[bytes, bytes]]


class Shared(NamedTuple):
    """What the lanes of a flusher have in common."""

    pool: Pool
    judge: Judge
    counter: MinuteCounter
    salts: VisitorSalts
    forgetter: Forgetter


class Lane:
    """One consumer of one partition of the event stream."""

    def __init__(
        self, shared: Shared, redis: RedisShards, settings: Settings, *, partition: int, number: int
    ) -> None:
        self._pool = shared.pool
        self._judge, self._counter, self._salts = shared.judge, shared.counter, shared.salts
        self._forgetter = shared.forgetter
        self._redis = redis
        self._ip_storage = settings.ip_storage
        self._partition = partition
        self._stream = redis_keys.events(partition)
        self.name = f"{settings.flusher_name}:{number}"
        self._next_claim_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Do rounds until `stop` is set, then until the stream is empty, for DRAIN_S at most.

        Raises on any fault.
        """
        clock = asyncio.get_running_loop().time
        await self._join_group()
        await self._finish_pending()
        deadline = math.inf
        while clock() < deadline:
            if stop.is_set():
                deadline = min(deadline, clock() + DRAIN_S)
            entries = await self._read(b">", block_ms=None if stop.is_set() else BLOCK_MS)
            if not entries:
                entries = await self._claim_abandoned()
            if entries:
                await self._land_entries(entries)
            elif stop.is_set():
                return

    async def _join_group(self) -> None:
        async with self._redis.at(self._stream) as redis:
            try:
                await redis.xgroup_create(self._stream, redis_keys.FLUSHER_GROUP, "0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _finish_pending(self) -> None:
        """Land what this consumer had received and not acknowledged when it last ended."""
        while entries := await self._read(b"0", block_ms=None):
            await self._land_entries(entries)

    async def _read(self, after: bytes, *, block_ms: int | None) -> list[Entry]:
        async with self._redis.at(self._stream) as redis:
            found: Any = await redis.xreadgroup(
                redis_keys.FLUSHER_GROUP,
                self.name,
                {self._stream: after},
                count=CHUNKS_PER_ROUND,
                block=block_ms,
            )
        return cast("list[Entry]", found[0][1]) if found else []

    async def _claim_abandoned(self) -> list[Entry]:
        """Take over what a consumer that is gone has received and never finished."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_claim_s:
            return []
        self._next_claim_s = now_s + CLAIM_EVERY_S
        async with self._redis.at(self._stream) as redis:
            claimed: Any = await redis.xautoclaim(
                self._stream,
                redis_keys.FLUSHER_GROUP,
                self.name,
                min_idle_time=CLAIM_IDLE_MS,
                count=CHUNKS_PER_ROUND,
            )
        return cast("list[Entry]", claimed[1])

    async def _land_entries(self, entries: list[Entry]) -> None:
        chunks = []
        for entry_id, fields in entries:
            if not fields:  # pending, but deleted from the stream meanwhile
                continue
            try:
                chunks.append(_check_chunk(read_chunk(fields)))
            except BadChunkError as error:
                await self._bury(str(error), payload=repr(fields).encode())
                log.error("stream_entry_unreadable", entry_id=entry_id.decode(), reason=str(error))  # noqa: TRY400  the reason says it all
        watermarks = await self._land_or_isolate(chunks) if chunks else {}
        async with self._redis.at(self._stream) as redis, redis.pipeline(transaction=False) as pipe:
            # Announced before the deletion: a chunk that is gone from the stream has landed or is lost.
            for journal_id, sequence in watermarks.items():
                mark = redis_keys.landed(journal_id, self._partition)
                pipe.eval(_RAISE_LANDED, 1, mark, sequence, LANDED_TTL_S)
            entry_ids = [entry_id for entry_id, _fields in entries]
            pipe.xack(self._stream, redis_keys.FLUSHER_GROUP, *entry_ids)
            pipe.xdel(self._stream, *entry_ids)
            await pipe.execute()

    async def _land_or_isolate(self, chunks: list[Chunk]) -> dict[str, int]:
        """Land the chunks together; if Postgres refuses what they hold, one by one."""
        try:
            return await self._land(chunks)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, BadChunkError) as error:
            if len(chunks) == 1:
                return await self._give_up(chunks[0], str(error))
        watermarks: dict[str, int] = {}
        for chunk in chunks:
            watermarks |= await self._land_or_isolate([chunk])
        return watermarks

    async def _land(self, chunks: list[Chunk]) -> dict[str, int]:
        """Land the chunks in one transaction. Give how far their journals have landed."""
        batch = self._decode(chunks)
        async with self._pool.acquire() as db:
            salts = await self._salts.load(db, batch.days)
        batch.build(salts)
        async with self._pool.acquire() as db, db.transaction():
            new = await claim_chunks(db, chunks)
            if len(new) < len(chunks):
                batch = self._decode(new)
                batch.build(salts)
            if new:
                bad_events = await write_batch(db, batch)
                await self._forgetter.forget_landed(db, batch, salts)
                await self._bury_events([*batch.bad_events, *bad_events])
                await record_landed(db, new)
            watermarks = await list_watermarks(db, {chunk.journal_id for chunk in chunks})
        if new:
            self._counter.add(batch.came)
        return watermarks

    def _decode(self, chunks: list[Chunk]) -> Batch:
        batch = Batch(self._judge, self._counter, self._ip_storage, datetime.now(UTC))
        for chunk in chunks:
            batch.decode(chunk)
        return batch

    async def _give_up(self, chunk: Chunk, reason: str) -> dict[str, int]:
        """Bury a chunk that can never land, and let its journal go on."""
        log.error("chunk_refused", journal=chunk.journal_id, sequence=chunk.sequence, reason=reason)
        await self._bury(reason, chunk.journal_id, chunk.sequence, chunk.body)
        async with self._pool.acquire() as db, db.transaction():
            if await claim_chunks(db, [chunk]):
                await record_landed(db, [chunk])
            return await list_watermarks(db, {chunk.journal_id})

    async def _bury_events(self, bad_events: list[BadEvent]) -> None:
        for event in bad_events:
            log.error("event_unreadable", reason=event.reason)
            await self._bury(event.reason, payload=event.payload)

    async def _bury(self, reason: str, journal_id: str = "", sequence: int = 0, payload: bytes = b"") -> None:
        letters = redis_keys.dead_letters()
        async with self._redis.at(letters) as redis:
            await redis.xadd(
                letters,
                {"reason": reason, "journal": journal_id, "sequence": sequence, "payload": payload},
                maxlen=DEAD_LETTERS_KEPT,
                approximate=True,
            )


def _check_chunk(chunk: Chunk) -> Chunk:
    """Refuse names that the ledger could not hold."""
    is_hex = len(chunk.journal_id) == 32 and not set(chunk.journal_id) - set("0123456789abcdef")  # noqa: PLR2004  hex digits of a UUID
    if not is_hex or not 0 < chunk.sequence < LONGEST_SEQUENCE:
        raise BadChunkError(f"no chunk is called ({chunk.journal_id!r}, {chunk.sequence})")
    return chunk


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Flush until `stop` is set; what is in the stream by then still lands, if Postgres lets it."""
    judge = Judge.read(settings.datacenter_networks)
    gc.collect()
    gc.freeze()  # code and lists need not be looked at by every collection
    pool = await open_pool(settings.database_url, size=LANDING_AT_ONCE + 1)
    shared = Shared(pool, judge, MinuteCounter(), VisitorSalts(), Forgetter())
    redis = open_redis(settings.redis_url, timeout_s=REDIS_TIMEOUT_S + BLOCK_MS / 1000)
    try:
        async with asyncio.TaskGroup() as lanes:

            def open_lane(partition: int, number: int) -> None:
                lane = Lane(shared, redis, settings, partition=partition, number=number)
                name = f"{lane.name} of partition {partition}"
                lanes.create_task(keep_running(name, partial(lane.run, stop), stop))

            for number in range(LANES_OF_FIRST):
                open_lane(0, number)
            lanes.create_task(keep_running("join_conversions", partial(_join_conversions, pool, stop), stop))
            known = {0}
            find = partial(_find_partitions, redis, known, open_lane, stop)
            await keep_running("find_partitions", find, stop)
    finally:
        await redis.aclose()
        await pool.close()


async def _join_conversions(pool: Pool, stop: asyncio.Event) -> None:
    """Join conversions to what they wait for, as it arrives, until `stop` is set."""
    while not stop.is_set():
        while await join_waiting(pool, datetime.now(UTC)) == JOINED_AT_ONCE and not stop.is_set():
            pass
        await sleep_unless(stop, JOIN_EVERY_S)


async def _find_partitions(
    redis: RedisShards, known: set[int], open_lane: Callable[[int, int], None], stop: asyncio.Event
) -> None:
    """Open a lane for each partition that edges begin to ship to, until `stop` is set."""
    while not stop.is_set():
        for partition in await read_partitions(redis) - known:
            log.info("partition_found", partition=partition)
            known.add(partition)
            open_lane(partition, 0)
        await sleep_unless(stop, PARTITIONS_EVERY_S)
