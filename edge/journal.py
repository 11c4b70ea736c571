"""One edge worker's crash-safe record of events, until they are in Postgres.

A journal is a folder: `lock` (held with flock by its owner, so that the kernel tells when the
owner is dead), `counters` (counters.py) and segments `00000001.seg`, `00000002.seg`, …
(segment.py). They are mapped into memory, and the mapping belongs to the page cache: what was
appended survives `kill -9`.

A chunk is what lies between two marks. Its boundaries are in the file, so that whoever ships it,
and however often, (journal id, sequence) always means the same events. The journal keeps a chunk
until it has landed; a segment whose chunks have all landed is deleted.
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import os
import shutil
import struct
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from edge.contract.events import FRAME_HEADER, BadChunkError, Chunk, decode_event, find_arrival_ms
from edge.counters import Counter, Counters, count_accepted
from edge.segment import (
    MARK,
    MARK_BODY,
    MARK_SIZE,
    SEGMENT_HEADER,
    SEGMENT_NAME,
    SMALLEST_CHUNK,
    check_of,
    create_segment,
    map_segment,
    read_segment,
)

if TYPE_CHECKING:
    import mmap
    from pathlib import Path

CHUNK_BYTES: Final = 256 * 1024
"""A chunk is cut at this size at the latest, so that no stream entry is larger."""

_HEADER_SIZE = FRAME_HEADER.size
_write_header = FRAME_HEADER.pack_into


class JournalFullError(Exception):
    """The disk or the journal's budget has no room for another segment."""


class Room(Protocol):
    """Says whether the journals of this host may grow."""

    def allows(self, more_bytes: int) -> bool:
        """Tell whether `more_bytes` still fit into the budget."""

    def refuse_for_now(self) -> None:
        """Say no for a moment: the disk itself is full, and asking it each time is dear."""


class Cut(msgspec.Struct, gc=False):
    """Where a chunk lies. `start` and `end`: bytes in its segment, without the mark.

    `events_until`: events of the journal up to its end.
    """

    sequence: int
    segment: int
    start: int
    end: int
    events: int
    events_until: int
    entry_id: bytes = b""
    """Id of the stream entry that carries it; empty while it is not shipped."""


class Journal:
    """A journal, either this worker's own or one that was taken over from a dead worker.

    `unshipped` and `in_flight` hold the chunks that have not landed, each in order of sequence.
    `damage` lists what was cut off when the journal was opened, in words.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, room: Room | None) -> None:
        self.folder = folder
        self.journal_id = folder.name
        self.counters = Counters(folder / "counters")
        self.unshipped: deque[Cut] = deque()
        self.in_flight: deque[Cut] = deque()
        self.damage: list[str] = []
        self._segment_bytes = segment_bytes
        self._room = room
        self.in_flight_bytes = 0
        self._segments: dict[int, mmap.mmap] = {}
        self._current = 0
        self._sequence = 1
        self._events = 0
        self._start = self._position = self._limit = 0
        self._map: mmap.mmap | None = None
        self._cut_events = 0
        self._synced_until = 0
        self._begun_at = 0.0

    # --- opening -----------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, *, segment_bytes: int, room: Room) -> Journal:
        """Start an empty journal in `folder`, which must not exist. Raises JournalFullError."""
        folder.mkdir(mode=0o700)
        lock = _take_lock(folder)
        assert lock is not None
        try:
            journal = cls(folder, segment_bytes=segment_bytes, room=room)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            raise JournalFullError(f"no room for a journal in {folder}: {error.strerror}") from error
        journal._lock = lock
        with contextlib.suppress(JournalFullError):
            # Tried again at the first append: a worker with a full disk still answers, and says why.
            journal._open_next_segment()
        return journal

    @classmethod
    def adopt(cls, folder: Path) -> Journal | None:
        """Take over the journal of a dead worker; None when its owner lives. Raises OSError.

        What the owner had not cut becomes the last chunk. All chunks count as not shipped.
        """
        lock = _take_lock(folder)
        if lock is None:
            return None
        try:
            journal = cls(folder, segment_bytes=0, room=None)
            unreadable_bytes = 0
            for path in sorted(folder.glob(SEGMENT_NAME)):
                unreadable_bytes += journal._recover(path, unreadable_bytes)
        except BaseException:
            os.close(lock)
            raise
        journal._lock = lock
        journal._events = journal._cut_events
        journal._count_lost()
        return journal

    def _recover(self, path: Path, unreadable_bytes: int) -> int:
        """Book one segment's chunks. Give its size when it cannot be read at all, else 0.

        `unreadable_bytes`: size of the segments before that could not be read.
        """
        segment = map_segment(path)
        if segment is None:
            return 0
        contents = read_segment(segment)
        if contents is None:
            self._report_damage(f"{path.name}: not a journal segment")
            size = len(segment)
            segment.close()
            return size
        if not self._segments:
            self._cut_events = contents.events_before
            self._sequence = max(1, contents.first_sequence - unreadable_bytes // SMALLEST_CHUNK)
        self._current = int(path.stem)
        self._segments[self._current] = segment
        # Chunks that damage swallowed land as empty ones: behind a gap nothing would ever count as landed.
        while self._sequence < contents.first_sequence:
            self._book(SEGMENT_HEADER.size, SEGMENT_HEADER.size, 0)
        for chunk in contents.chunks:
            self._book(*chunk)
        if contents.damaged_at is not None:
            at = contents.damaged_at
            self._report_damage(f"{path.name}: cut at byte {at}, the record there is not whole")
            end = min(at + _HEADER_SIZE, len(segment))
            segment[at:end] = bytes(end - at)  # so that it is reported once
        return 0

    def _count_lost(self) -> None:
        """Compare what the owner counted with what is there: the rest is lost, and nobody waits for it."""
        values = self.counters.values
        journaled = max(self._events, values[Counter.JOURNALED], count_accepted(values))
        lost = journaled - max(self._events, values[Counter.LANDED])
        if lost > values[Counter.LOST]:
            self.damage.append(f"{lost} of {journaled} events are lost")
            values[Counter.LOST] = lost
        values[Counter.JOURNALED] = journaled

    def _report_damage(self, what: str) -> None:
        self.damage.append(what)
        self.counters.values[Counter.CUT_SHORT] += 1

    # --- writing -----------------------------------------------------------------------------

    def append(self, payload: bytes) -> None:
        """Write one encoded event down. Raises JournalFullError, and then nothing was written."""
        size = len(payload)
        position = self._position
        end = position + _HEADER_SIZE + size
        if end > self._limit:
            position = self._make_room(size)
            end = position + _HEADER_SIZE + size
        segment = self._map
        assert segment is not None
        segment[position + _HEADER_SIZE : end] = payload
        # The header last: with it the record exists.
        _write_header(segment, position, size, xxh3_64_intdigest(payload) & 0xFFFF_FFFF)
        self._position = end
        self._events += 1

    def _make_room(self, payload_bytes: int) -> int:
        """Cut the chunk that is full, go to the next segment when this one is. Give the position."""
        self.cut()
        needed = _HEADER_SIZE + payload_bytes
        if self._map is None or self._position + needed > len(self._map) - MARK_SIZE:
            if SEGMENT_HEADER.size + needed + MARK_SIZE > self._segment_bytes:
                raise JournalFullError(f"an event of {payload_bytes} bytes is larger than a segment")
            self._open_next_segment()
        self._limit = max(self._limit, self._position + needed)
        return self._position

    def cut(self) -> bool:
        """End the current chunk, if it has events. Tell whether it had."""
        if self._events == self._cut_events:
            return False
        assert self._map is not None
        body = MARK_BODY.pack(self._sequence)
        end = self._position
        start = end + _HEADER_SIZE
        self._map[start : start + MARK_BODY.size] = body
        _write_header(self._map, end, MARK, check_of(body))
        self._book(self._start, end, self._events - self._cut_events)
        self._begin_chunk(end + MARK_SIZE)
        self.counters.values[Counter.JOURNALED] = self._events
        return True

    def _book(self, start: int, end: int, events: int) -> None:
        self._cut_events += events
        self.unshipped.append(Cut(self._sequence, self._current, start, end, events, self._cut_events))
        self._sequence += 1

    def _begin_chunk(self, position: int) -> None:
        assert self._map is not None
        self._start = self._position = position
        self._limit = min(position + CHUNK_BYTES, len(self._map) - MARK_SIZE)

    def _open_next_segment(self) -> None:
        """Go to a new segment; the current one has been cut. Raises JournalFullError."""
        # First, because a full budget may consist of what has landed.
        self._drop_landed_segments(keep_current=False)
        if self._room is None or not self._room.allows(self._segment_bytes):
            raise JournalFullError("the journal's budget is used up")
        try:
            segment = create_segment(
                self.folder / f"{self._current + 1:08d}.seg",
                size=self._segment_bytes,
                first_sequence=self._sequence,
                events_before=self._events,
            )
        except OSError as error:
            self._room.refuse_for_now()
            raise JournalFullError(f"no room for a journal segment: {error.strerror}") from error
        self._current += 1
        self._segments[self._current] = self._map = segment
        self._begun_at = time.monotonic()
        self._begin_chunk(SEGMENT_HEADER.size)

    def sync(self) -> None:
        """Force what was appended onto the disk. Blocks without holding the GIL: run it in a thread.

        Raises OSError.
        """
        current = self._current
        for number in range(self._synced_until, current + 1):
            with contextlib.suppress(FileNotFoundError):  # landed and deleted, or none yet
                _sync_file(self.folder / f"{number:08d}.seg")
        if current != self._synced_until:
            _sync_file(self.folder)
            self._synced_until = current

    # --- shipping ----------------------------------------------------------------------------

    def read_chunk(self, cut: Cut) -> Chunk:
        """Give the chunk that lies at `cut`."""
        body = self._segments[cut.segment][cut.start : cut.end]
        return Chunk(self.journal_id, cut.sequence, cut.events, zlib.crc32(body), body)

    def mark_shipped(self, cut: Cut, entry_id: bytes) -> None:
        """Note that the first unshipped chunk now travels in the stream entry `entry_id`."""
        assert self.unshipped[0] is cut
        self.unshipped.popleft()
        cut.entry_id = entry_id
        bisect.insort(self.in_flight, cut, key=_by_sequence)
        self.in_flight_bytes += cut.end - cut.start
        values = self.counters.values
        values[Counter.SHIPPED] = max(values[Counter.SHIPPED], cut.events_until)

    def ship_again(self, lost: set[int]) -> None:
        """Put the chunks with these sequences, which the stream has lost, back in line."""
        again = [cut for cut in self.in_flight if cut.sequence in lost]
        for cut in again:
            cut.entry_id = b""
            self.in_flight_bytes -= cut.end - cut.start
        self.in_flight = deque(cut for cut in self.in_flight if cut.entry_id)
        self.unshipped = deque([*again, *self.unshipped])

    def mark_landed(self, sequence: int) -> None:
        """Note that every chunk up to `sequence` is in Postgres, and free what held only those."""
        landed = 0
        for queue in (self.in_flight, self.unshipped):
            while queue and queue[0].sequence <= sequence:
                cut = queue.popleft()
                landed = max(landed, cut.events_until)
                if cut.entry_id:
                    self.in_flight_bytes -= cut.end - cut.start
        if landed:
            values = self.counters.values
            values[Counter.LANDED] = max(values[Counter.LANDED], landed)
            values[Counter.SHIPPED] = max(values[Counter.SHIPPED], landed)
            self._drop_landed_segments(keep_current=True)

    def renew_segment(self, age_s: float) -> None:
        """Go to a new segment if all of this one has landed and it is as old as that.

        On a quiet edge it fills up in weeks, and what it says of visitors should not lie here for so long.
        """
        has_events = self._map is not None and self._position > SEGMENT_HEADER.size
        if has_events and self.is_empty and time.monotonic() - self._begun_at >= age_s:
            with contextlib.suppress(JournalFullError):  # tried again at the next append
                self._open_next_segment()

    def _drop_landed_segments(self, *, keep_current: bool) -> None:
        needed = {queue[0].segment for queue in (self.in_flight, self.unshipped) if queue}
        if keep_current:
            needed.add(self._current)
        oldest = min(needed, default=self._current + 1)
        for number in [number for number in self._segments if number < oldest]:
            segment = self._segments.pop(number)
            if segment is self._map:
                self._map, self._limit = None, 0
            segment.close()
            (self.folder / f"{number:08d}.seg").unlink(missing_ok=True)

    @property
    def has_uncut_events(self) -> bool:
        """Tell whether events wait to be cut into a chunk."""
        return self._events > self._cut_events

    def find_oldest_ms(self) -> int:
        """Give when the oldest event that has not landed came, in Unix milliseconds; 0 for none.

        And where it is unreadable.
        """
        heads = [queue[0] for queue in (self.in_flight, self.unshipped) if queue]
        if heads:
            cut = min(heads, key=_by_sequence)
            segment, start = self._segments[cut.segment], cut.start
        elif self.has_uncut_events and self._map is not None:
            segment, start = self._map, self._start
        else:
            return 0
        try:
            length, _check = FRAME_HEADER.unpack_from(segment, start)
            start += _HEADER_SIZE
            return find_arrival_ms(decode_event(segment[start : start + length]))
        except (BadChunkError, struct.error):
            return 0

    @property
    def is_empty(self) -> bool:
        """Tell whether every event has landed."""
        return not (self.unshipped or self.in_flight or self.has_uncut_events)

    # --- closing -----------------------------------------------------------------------------

    def close(self) -> None:
        """Unmap everything and release the lock. What has not landed waits for the next worker."""
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()
        self._map = None
        self.counters.close()
        os.close(self._lock)

    _lock: int


def _by_sequence(cut: Cut) -> int:
    return cut.sequence


def _take_lock(folder: Path) -> int | None:
    """Lock a journal for this process; None when another process has it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
