"""One transaction that lands chunks: ledger, rows and rollups together, or nothing of them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.traffic.model import SLOT_S
from control_plane.pipeline.click_rows import COLUMNS, HEADER, TRAILER, build_row
from edge.contract.events import BadChunkError, Click, decode_event, split_frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from control_plane.db.pool import Connection
    from control_plane.pipeline.click_rows import IpStorage
    from edge.contract.events import Chunk

queries = load_queries(Path(__file__).with_name("flusher.sql"))

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
MS_PER_SLOT: Final = SLOT_S * 1000
LONGEST_SEQUENCE: Final = 2**62
COPY_BYTES: Final = 1 << 18
"""Size of the pieces in which rows go to Postgres."""

RollupKey = tuple[bytes, bytes, bytes, int]
"""(tenant, link, variant, slot since the Unix epoch)."""


class BadEvent(msgspec.Struct, frozen=True):
    """An event that cannot be landed, and why."""

    payload: bytes
    reason: str


class Batch:
    """The rows and rollups of some chunks, built before the transaction begins."""

    def __init__(self, ip_storage: IpStorage, now: datetime) -> None:
        self._ip_storage: IpStorage = ip_storage
        self._landed_at_us = (now - POSTGRES_EPOCH) // (datetime.resolution)
        self.rows: list[bytes] = []
        self.rollups: dict[RollupKey, list[int]] = {}
        self.bad_events: list[BadEvent] = []

    def add(self, chunk: Chunk) -> None:
        """Add a chunk's events. Raises BadChunkError when its frames cannot be told apart."""
        for payload in split_frames(chunk.body):
            try:
                self._add_event(payload)
            except (BadChunkError, struct.error) as error:
                self.bad_events.append(BadEvent(bytes(payload), str(error)))

    def _add_event(self, payload: memoryview) -> None:
        click = decode_event(payload)
        if not isinstance(click, Click):
            raise BadChunkError(f"not a click: {type(click).__name__}")
        row, is_bot = build_row(click, landed_at_us=self._landed_at_us, ip_storage=self._ip_storage)
        self.rows.append(row)
        slot = int.from_bytes(click.id[:6], "big") // MS_PER_SLOT
        key = (click.tenant_id, click.link_id, click.variant_id, slot)
        counts = self.rollups.get(key)
        if counts is None:
            counts = self.rollups[key] = [0, 0, 0]
        counts[0] += 1
        counts[1] += is_bot
        counts[2] += click.prefetch

    async def copy_stream(self) -> AsyncIterator[bytes]:
        """Give the rows in COPY's binary format, in pieces of moderate size."""
        piece, size = [HEADER], 0
        for row in self.rows:
            piece.append(row)
            size += len(row)
            if size >= COPY_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
        yield b"".join([*piece, TRAILER])


async def claim_chunks(db: Connection, chunks: list[Chunk]) -> list[Chunk]:
    """Lock the journals of `chunks` and give those that have not landed, each once."""
    unique = {(UUID(chunk.journal_id), chunk.sequence): chunk for chunk in chunks}
    journals = [journal_id for journal_id, _sequence in unique]
    await queries.ensure_journals(db, journal_ids=list(set(journals)))
    await queries.lock_journals(db, journal_ids=list(set(journals)))
    sequences = [sequence for _journal_id, sequence in unique]
    async for row in queries.list_landed(db, journal_ids=journals, sequences=sequences):
        del unique[row["journal_id"], row["sequence"]]
    return list(unique.values())


async def record_landed(db: Connection, chunks: list[Chunk]) -> None:
    """Enter chunks into the ledger, in the transaction that writes their rows."""
    await queries.record_landed(
        db,
        journal_ids=[UUID(chunk.journal_id) for chunk in chunks],
        sequences=[chunk.sequence for chunk in chunks],
        events=[chunk.events for chunk in chunks],
    )


async def write_batch(db: Connection, batch: Batch) -> None:
    """Write the rows, and add them to the rollups."""
    if not batch.rows:
        return
    await db.copy_to_table("clicks", source=batch.copy_stream(), columns=COLUMNS, format="binary")
    keys, counts = list(batch.rollups), list(batch.rollups.values())
    shared = {
        "tenant_ids": [UUID(bytes=key[0]) for key in keys],
        "link_ids": [UUID(bytes=key[1]) for key in keys],
        "variant_ids": [UUID(bytes=key[2]) for key in keys],
        "clicks": [count[0] for count in counts],
        "bots": [count[1] for count in counts],
        "prefetches": [count[2] for count in counts],
    }
    await queries.add_to_totals(db, **shared)
    await queries.add_to_slots(db, **shared, slots=[key[3] for key in keys])


async def list_watermarks(db: Connection, journal_ids: set[str]) -> dict[str, int]:
    """Give for each journal the sequence up to which it has landed without a gap.

    Asked inside the transaction; true once it has committed.
    """
    rows = queries.list_watermarks(db, journal_ids=[UUID(journal_id) for journal_id in journal_ids])
    return {row["journal_id"].hex: row["sequence"] async for row in rows}
