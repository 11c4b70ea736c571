"""Sends what is new in the journals to the event stream, and frees what has landed.

Every few milliseconds the events since the last time become a chunk, and a chunk becomes one
stream entry. What was shipped and has not landed is bounded, in bytes and in chunks: past the
bound the journal on disk grows, not Redis. While Redis is away nothing is cut by time, so a long
outage leaves large chunks, not millions of small ones.

A chunk that was shipped may be lost with Redis. Once in a while the oldest chunk in flight is
looked for in the stream; when it is neither there nor landed, all that are missing go again. The
flusher's ledger makes a chunk that arrives twice count once.

The stream has partitions, which a cluster spreads over its masters. All chunks of a journal go to one:
the flusher tells beside the chunks how far the journal has landed. Nothing depends on the
number of partitions staying the same. Whoever takes a journal over ships all of it that has not landed
to the partition of its own reckoning, and flushers read every partition that is in use.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import AuthenticationError, OutOfMemoryError, ResponseError

from edge.contract import redis_keys
from edge.contract.events import chunk_fields
from edge.contract.redis_shards import REDIS_FAULTS
from edge.counters import OLDEST_UNLANDED_MS
from edge.redis_client import open_redis

if TYPE_CHECKING:
    from edge.journal import Cut, Journal
    from edge.spool import Spool

log = structlog.get_logger()

CHUNKS_AT_ONCE: Final = 16
"""Chunks in one round trip: at most 4 MiB."""
CHUNKS_IN_FLIGHT: Final = 5000
LOSS_CHECK_S: Final = 1.0
SEGMENT_KEPT_S: Final = 3600.0
"""How long what has landed may lie in the journal's current segment, on the disk."""
PARTITIONS_IN_CLUSTER: Final = 8
"""Two or three for each of three or four masters; one is enough for a single server."""
ADOPTION_S: Final = 2.0
RETRY_S: Final = 0.2
FAULT_LENGTH: Final = 200
"""Characters of Redis' own words that are passed on."""
LANDED_S: Final = 0.05
"""How often a shipper asks how far its journal has landed; asking costs as much as shipping."""


class Shipper:
    """Ships this worker's journal and those that it took over.

    `interval_s`: how long events gather before they go. `window_bytes`: the most that one journal
    may have in flight. `partitions`: of the event stream; 0 leaves the number to the shipper.
    """

    def __init__(  # noqa: PLR0913  what it works with, and how
        self,
        *,
        spool: Spool,
        journal: Journal,
        redis_url: str,
        interval_s: float,
        window_bytes: int,
        partitions: int = 0,
    ) -> None:
        self._spool = spool
        self._own = journal
        self._adopted: list[Journal] = []
        self._redis = open_redis(redis_url)
        self._partitions = partitions or (PARTITIONS_IN_CLUSTER if self._redis.is_cluster else 1)
        self._interval_s = interval_s
        self._window_bytes = window_bytes
        self._next_loss_check = self._next_landed = 0.0
        self.is_connected = False
        self.problem = "Redis has not answered yet"
        """Why it is not connected, as the beginning of a sentence."""

    async def keep_shipping(self) -> None:
        """Ship until cancelled."""
        while True:
            try:
                moved = await self._ship_round()
                if not self.is_connected:
                    log.info("shipper_connected")
                self.is_connected = True
                await asyncio.sleep(self._interval_s if moved else self._pause_s())
            except REDIS_FAULTS as error:
                if self.is_connected:
                    log.warning("shipper_lost_redis", error=str(error) or type(error).__name__)
                self.is_connected = False
                self.problem = _describe_fault(error)
                self._note_oldest(self._own)
                await asyncio.sleep(RETRY_S)

    def _pause_s(self) -> float:
        return self._interval_s if self._own.has_uncut_events else min(LANDED_S, self._interval_s * 4)

    async def keep_adopting(self) -> None:
        """Take over the journals of dead workers until cancelled."""
        while True:
            # A long journal takes a while to read, so it is read beside the event loop.
            for journal in await asyncio.to_thread(self._spool.adopt_dead):
                for damage in journal.damage:
                    log.error("journal_damaged", journal=journal.journal_id, damage=damage)
                log.info("journal_adopted", journal=journal.journal_id, chunks=len(journal.unshipped))
                self._adopted.append(journal)
            await asyncio.sleep(ADOPTION_S)

    async def _ship_round(self) -> bool:
        """Ship one round of every journal and look how far each has landed. Tell if any moved."""
        now = time.monotonic()
        check_loss, ask_landed = now >= self._next_loss_check, now >= self._next_landed
        if check_loss:
            self._next_loss_check = now + LOSS_CHECK_S
        if ask_landed:
            self._next_landed = now + LANDED_S
        moved = False
        for journal in [self._own, *self._adopted]:
            # A journal that was taken over is asked for first: most of it may have landed long ago.
            if ask_landed or journal is not self._own:
                await self._read_landed(journal)
            moved |= await self._ship(journal)
            if check_loss:
                await self._find_lost(journal)
            self._note_oldest(journal)
        if check_loss:
            await self._announce_partitions()  # an idle shipper asks nothing else
            self._retire_landed()
            self._own.renew_segment(SEGMENT_KEPT_S)
        return moved

    def _pick_partition(self, journal: Journal) -> int:
        return redis_keys.pick_partition(journal.journal_id, self._partitions)

    async def _announce_partitions(self) -> None:
        """Tell flushers what to read, each time anew: Redis may have lost it."""
        used = {self._pick_partition(journal) for journal in [self._own, *self._adopted]}
        async with self._redis.at(redis_keys.event_partitions()) as redis:
            await redis.sadd(redis_keys.event_partitions(), *used)

    def _retire_landed(self) -> None:
        for journal in [journal for journal in self._adopted if journal.is_empty]:
            try:
                self._spool.retire(journal)
            except OSError as error:  # a full disk; tried again
                log.warning("journal_not_retired", journal=journal.journal_id, error=str(error))
                continue
            self._adopted.remove(journal)
            log.info("journal_retired", journal=journal.journal_id)

    async def _ship(self, journal: Journal) -> bool:
        if not journal.unshipped and self._has_window(journal):
            journal.cut()
        batch: list[Cut] = []
        room = self._window_bytes - journal.in_flight_bytes
        for cut in journal.unshipped:
            room -= cut.end - cut.start
            if len(batch) == CHUNKS_AT_ONCE or (room < 0 and (batch or journal.in_flight)):
                break
            batch.append(cut)
        if not batch or not self._has_window(journal):
            return False
        stream = redis_keys.events(self._pick_partition(journal))
        async with self._redis.at(stream) as redis, redis.pipeline(transaction=False) as pipe:
            for cut in batch:
                pipe.xadd(stream, chunk_fields(journal.read_chunk(cut)))  # type: ignore[arg-type]  # redis-py's dict is invariant
            entry_ids = await pipe.execute()
        for cut, entry_id in zip(batch, entry_ids, strict=True):
            journal.mark_shipped(cut, entry_id)
        return True

    def _has_window(self, journal: Journal) -> bool:
        return len(journal.in_flight) < CHUNKS_IN_FLIGHT and journal.in_flight_bytes < self._window_bytes

    async def _read_landed(self, journal: Journal) -> None:
        if journal.in_flight or journal.unshipped:
            mark = redis_keys.landed(journal.journal_id, self._pick_partition(journal))
            async with self._redis.at(mark) as redis:
                landed: Any = await redis.get(mark)
            if landed is not None:
                journal.mark_landed(int(landed))

    async def _find_lost(self, journal: Journal) -> None:
        """Put back in line what was shipped, is not in the stream any more, and has not landed."""
        if not journal.in_flight:
            return
        stream, oldest = redis_keys.events(self._pick_partition(journal)), journal.in_flight[0]
        if await self._find_in_stream(stream, [oldest]):
            return
        # Landed is announced before an entry is deleted: what is absent and landed shows here.
        await self._read_landed(journal)
        if not journal.in_flight or journal.in_flight[0] is not oldest:
            return
        suspects = list(journal.in_flight)
        present = await self._find_in_stream(stream, suspects)
        await self._read_landed(journal)
        lost = {cut.sequence for cut in suspects if cut.sequence not in present}
        if lost and journal.in_flight and journal.in_flight[0].sequence in lost:
            log.warning("chunks_lost_in_redis", journal=journal.journal_id, chunks=len(lost))
            journal.ship_again(lost)

    async def _find_in_stream(self, stream: str, cuts: list[Cut]) -> set[int]:
        """Give the sequences of the chunks that are in the stream."""
        present: set[int] = set()
        for start in range(0, len(cuts), CHUNKS_AT_ONCE):
            batch = cuts[start : start + CHUNKS_AT_ONCE]
            async with self._redis.at(stream) as redis, redis.pipeline(transaction=False) as pipe:
                for cut in batch:
                    pipe.xrange(stream, cut.entry_id, cut.entry_id)
                found = await pipe.execute()
            present |= {cut.sequence for cut, entries in zip(batch, found, strict=True) if entries}
        return present

    def _note_oldest(self, journal: Journal) -> None:
        journal.counters.values[OLDEST_UNLANDED_MS] = journal.find_oldest_ms()

    async def drain(self, timeout_s: float) -> None:
        """Ship what is left, and wait for it to land, for `timeout_s` at most; then let go.

        What has not landed by then stays on disk for the next worker that starts.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while not self._own.is_empty and time.monotonic() < deadline:
                await self._ship_round()
                await asyncio.sleep(self._interval_s)
        except REDIS_FAULTS as error:
            log.warning("shipper_drain_incomplete", error=str(error) or type(error).__name__)
        self._adopted.append(self._own)
        self._retire_landed()
        for journal in self._adopted:
            journal.close()
        await self._redis.aclose()


def _describe_fault(error: Exception) -> str:
    match error:
        case OutOfMemoryError():
            return "Redis is out of memory and takes no clicks"
        case ResponseError() | AuthenticationError():
            return f"Redis takes no clicks ({str(error)[:FAULT_LENGTH]})"
        case _:
            return "Redis does not answer"
