"""One transaction that lands chunks: ledger, rows and sums together, or nothing of them.

All of it is written in one order: ledger, visitors, rows, conversions, and sums last, each in the order of
its keys, so that transactions wait for each other and never crosswise.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.conversions import service as conversions
from control_plane.domains.conversions.model import Outcome
from control_plane.domains.traffic.changes import Changes
from control_plane.domains.traffic.store import write_changes
from control_plane.pipeline.campaign_parameters import CampaignParameters, read_parameters
from control_plane.pipeline.click_rows import COLUMNS, HEADER, TRAILER, build_row, end_row
from control_plane.pipeline.enrichment import describe_client, find_referrer_domain
from control_plane.pipeline.page_rows import build_page_click, build_visit
from control_plane.pipeline.sums import SLOT_MS, Cell, EventSums
from control_plane.pipeline.visitors import DAY_MS, SeenKey, mark_seen, number_visitor
from edge.contract.events import (
    BadChunkError,
    Click,
    Conversion,
    Event,
    PageClick,
    Visit,
    decode_event,
    encode_event,
    split_frames,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from control_plane.db.pool import Connection
    from control_plane.pipeline.click_rows import IpStorage
    from control_plane.pipeline.verdicts import Judge, MinuteCounter
    from edge.contract.events import Chunk

queries = load_queries(Path(__file__).with_name("flusher.sql"))

POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
MINUTE_MS: Final = 60_000
END_MS: Final = 253_402_300_800_000
"""The year 10000: no date is behind it."""
LONGEST_SEQUENCE: Final = 2**62
ID_BYTES: Final = 16
COPY_BYTES: Final = 1 << 18
"""Size of the pieces in which rows go to Postgres."""

_CLICKS, _UNIQUES, _HUMANS, _HUMAN_UNIQUES, _VISITS, _HUMAN_VISITS, _PAGE_CLICKS, _PREFETCHES = range(8)

TotalKey = tuple[bytes, bytes, bytes]
"""(tenant, link, variant)"""


class BadEvent(msgspec.Struct, frozen=True):
    """An event that cannot be landed, and why."""

    payload: bytes
    reason: str


class _Seen(msgspec.Struct, gc=False):
    """A row that awaits whether its visitor is new: `counts` are of its cell."""

    key: SeenKey
    counts: list[int]
    is_human: bool


class Batch:
    """The events of some chunks, and the rows and sums that they make.

    `decode` each chunk, then `build` once the salts of `days` are there, both before the transaction begins.
    """

    def __init__(self, judge: Judge, counter: MinuteCounter, ip_storage: IpStorage, now: datetime) -> None:
        self._judge = judge
        self._counter = counter
        self._ip_storage: IpStorage = ip_storage
        self.now = now
        self._landed_at_us = (now - POSTGRES_EPOCH) // (datetime.resolution)
        self.events: list[Event] = []
        self.bad_events: list[BadEvent] = []
        self.days: set[int] = set()
        """Days (since 1970) whose salts are needed."""
        self.came: dict[tuple[int, int], int] = {}
        """(visitor, minute) -> how often: for the counter, once it has landed."""
        self.sums = EventSums()
        self.totals: dict[TotalKey, list[int]] = {}
        """Clicks, bots' clicks, prefetches, and clicks that became conversions."""
        self.rows: list[bytes] = []
        self.row_seen: list[_Seen] = []
        self.visits: list[dict[str, Any]] = []
        self.visit_keys: list[SeenKey] = []
        self.page_clicks: list[dict[str, Any]] = []
        self.conversions: list[Conversion] = []

    def decode(self, chunk: Chunk) -> None:
        """Add a chunk's events. Raises BadChunkError when its frames cannot be told apart."""
        for payload in split_frames(chunk.body):
            try:
                event = _check(decode_event(payload))
            except BadChunkError as error:
                self.bad_events.append(BadEvent(bytes(payload), str(error)))
            else:
                self.events.append(event)
                if type(event) is not Conversion:
                    self.days.add(int.from_bytes(event.id[:6], "big") // DAY_MS)

    def build(self, salts: Mapping[int, bytes]) -> None:
        """Make the rows. `salts`: of `days`."""
        # Classes of structs are told apart by identity: isinstance would ask Python code, for a microsecond.
        for event in self.events:
            try:
                if type(event) is Click:
                    self._add_click(event, salts)
                elif type(event) is Visit:
                    self._add_visit(event, salts)
                elif type(event) is PageClick:
                    self._add_page_click(event, salts)
                elif type(event) is Conversion:
                    self.conversions.append(event)
            except struct.error as error:
                self.bad_events.append(BadEvent(encode_event(event), str(error)))

    def _add_click(self, click: Click, salts: Mapping[int, bytes]) -> None:
        ms = int.from_bytes(click.id[:6], "big")
        day = ms // DAY_MS
        visitor = number_visitor(salts[day], click.tenant_id, click.ip, click.user_agent)
        reason = self._judge_event(click, visitor, ms, prefetch=click.prefetch)
        row = build_row(
            click,
            landed_at_us=self._landed_at_us,
            ip_storage=self._ip_storage,
            bot_reason=reason,
            visitor_id=visitor,
        )
        client, said = describe_client(click.user_agent), read_parameters(click.query)
        split = (
            click.country,
            client.device,
            client.browser,
            client.os,
            find_referrer_domain(click.referrer),
            *_utm(said),
        )
        slot = ms // SLOT_MS
        cell = Cell(click.tenant_id, click.link_id, click.variant_id, click.project_id, slot, split)
        counts = self.sums.find(cell)
        is_human = reason is None
        counts[_CLICKS] += 1
        counts[_HUMANS] += is_human
        counts[_PREFETCHES] += click.prefetch
        self.rows.append(row)
        self.row_seen.append(_Seen((day, click.link_id, visitor), counts, is_human))
        total = self.totals.setdefault((click.tenant_id, click.link_id, click.variant_id), [0, 0, 0, 0])
        total[0] += 1
        total[1] += not is_human
        total[2] += click.prefetch

    def _add_visit(self, visit: Visit, salts: Mapping[int, bytes]) -> None:
        ms = int.from_bytes(visit.id[:6], "big")
        visitor = number_visitor(salts[ms // DAY_MS], visit.tenant_id, visit.ip, visit.user_agent)
        reason = self._judge_event(visit, visitor, ms, prefetch=visit.prefetch)
        row = build_visit(visit, ip_storage=self._ip_storage, bot_reason=reason, visitor_id=visitor)
        self.visits.append(row)
        self.visit_keys.append((ms // DAY_MS, visit.project_id, visitor))

    def _add_page_click(self, click: PageClick, salts: Mapping[int, bytes]) -> None:
        ms = int.from_bytes(click.id[:6], "big")
        visitor = number_visitor(salts[ms // DAY_MS], click.tenant_id, click.ip, click.user_agent)
        reason = self._judge_event(click, visitor, ms)
        self.page_clicks.append(
            build_page_click(click, ip_storage=self._ip_storage, bot_reason=reason, visitor_id=visitor)
        )

    def _judge_event(
        self, event: Click | Visit | PageClick, visitor: int, ms: int, *, prefetch: bool = False
    ) -> str | None:
        minute = (visitor, ms // MINUTE_MS)
        number = self.came[minute] = self.came.get(minute, 0) + 1
        return self._judge.judge(
            event.user_agent, event.ip, prefetch=prefetch, in_minute=number + self._counter.seen(*minute)
        )

    async def copy_stream(self, new: set[SeenKey]) -> AsyncIterator[bytes]:
        """Give the rows of clicks in COPY's binary format, in pieces of moderate size.

        `new`: visitors who were not seen before; the first click of each, which is unique, takes it out.
        """
        piece, size = [HEADER], 0
        for row, seen in zip(self.rows, self.row_seen, strict=True):
            is_unique = seen.key in new
            if is_unique:
                new.remove(seen.key)
                seen.counts[_UNIQUES] += 1
                seen.counts[_HUMAN_UNIQUES] += seen.is_human
            piece += row, end_row(is_unique=is_unique)
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


async def write_batch(db: Connection, batch: Batch) -> list[BadEvent]:
    """Write the rows, and add them to the sums. Gives the events that cannot be landed."""
    changes = Changes()
    new = await mark_seen(db, [*(seen.key for seen in batch.row_seen), *batch.visit_keys])
    await _write_visits(db, batch, new)
    await _write_page_clicks(db, batch)
    if batch.rows:
        stream = batch.copy_stream(new)
        await db.copy_to_table("clicks", source=stream, columns=COLUMNS, format="binary")
    bad = []
    if batch.conversions:
        landed = await conversions.land(db, batch.conversions, changes, batch.now)
        bad = [
            BadEvent(encode_event(one.event), f"conversion refused: {one.outcome}")
            for one in landed
            if one.outcome in {Outcome.UNKNOWN_PROJECT, Outcome.UNREADABLE}
        ]
    batch.sums.write_into(changes)
    await _add_to_totals(db, batch, changes)
    await write_changes(db, changes)
    return bad


async def _write_visits(db: Connection, batch: Batch, new: set[SeenKey]) -> None:
    """Write those visits that are not there yet, and count them."""
    if not batch.visits:
        return
    for row, key in zip(batch.visits, batch.visit_keys, strict=True):
        row["is_unique"] = key in new
        new.discard(key)
    written = {row["id"] async for row in queries.insert_visits(db, rows=batch.visits, now=batch.now)}
    for row in batch.visits:
        if row["id"] in written:
            written.remove(row["id"])
            counts = batch.sums.find(_page_cell(row))
            counts[_VISITS] += 1
            counts[_HUMAN_VISITS] += not row["is_bot"]


async def _write_page_clicks(db: Connection, batch: Batch) -> None:
    """Write those clicks on pages that are not there yet, and count them."""
    if not batch.page_clicks:
        return
    rows = queries.insert_page_clicks(db, rows=batch.page_clicks, now=batch.now)
    written = {row["id"] async for row in rows}
    for row in batch.page_clicks:
        if row["id"] in written:
            written.remove(row["id"])
            batch.sums.find(_page_cell(row))[_PAGE_CLICKS] += 1


def _page_cell(row: Mapping[str, Any]) -> Cell:
    names = ("country", "device", "browser", "os", "referrer_domain", *_UTM)
    slot = (row["id"].int >> 80) // SLOT_MS
    split = tuple(row.get(name) for name in names)
    return Cell(row["tenant_id"].bytes, b"", b"", row["project_id"].bytes, slot, split)


async def _add_to_totals(db: Connection, batch: Batch, changes: Changes) -> None:
    """Add to the totals of variants, those of conversions with them: no total is waited for twice."""
    for key, conversions_made in changes.conversions.items():
        total = batch.totals.setdefault((key[0].bytes, key[1].bytes, key[2].bytes), [0, 0, 0, 0])
        total[3] += conversions_made
    changes.conversions.clear()
    if not batch.totals:
        return
    keys, counts = list(batch.totals), list(batch.totals.values())
    await queries.add_to_totals(
        db,
        tenant_ids=[UUID(bytes=key[0]) for key in keys],
        link_ids=[UUID(bytes=key[1]) for key in keys],
        variant_ids=[UUID(bytes=key[2]) for key in keys],
        clicks=[count[0] for count in counts],
        bots=[count[1] for count in counts],
        prefetches=[count[2] for count in counts],
        conversions=[count[3] for count in counts],
    )


_UTM: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


def _utm(said: CampaignParameters) -> tuple[str | None, ...]:
    return said.utm_source, said.utm_medium, said.utm_campaign, said.utm_content, said.utm_term


def _check(event: Event) -> Event:
    """Refuse what no row can hold. Raises BadChunkError."""
    if int.from_bytes(event.id[:6], "big") >= END_MS:
        raise BadChunkError("its id is of a time that is no date")
    if type(event) is Click and len(event.project_id) not in {0, ID_BYTES}:
        raise BadChunkError("its project is no id")
    return event


async def list_watermarks(db: Connection, journal_ids: set[str]) -> dict[str, int]:
    """Give for each journal the sequence up to which it has landed without a gap.

    Asked inside the transaction; true once it has committed.
    """
    rows = queries.list_watermarks(db, journal_ids=[UUID(journal_id) for journal_id in journal_ids])
    return {row["journal_id"].hex: row["sequence"] async for row in rows}
