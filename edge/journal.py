"""One edge worker's crash-safe record of events, until they are in Postgres.

A journal is a folder: `lock` (held with flock by its owner, so that the kernel tells when the
owner is dead), `counters` (counters.py) and segments `00000001.seg`, `00000002.seg`, …

A segment is a file of fixed size, reserved on disk and mapped into memory::

    header   magic, the sequence that the next chunk will have, events before this segment
    frames   one per event (edge/contract/events.py), check = xxh3-64 of the payload, low 32 bits
    marks    a frame whose length is MARK: a chunk ends here; sequence and events so far
    zeros    nothing written yet

`append` copies the payload first and writes the frame's header last, so a process that dies
leaves a whole record or none. The mapping belongs to the page cache: what was appended survives
`kill -9`. Against a power cut the checks find what was written in part.

A chunk is what lies between two marks. Its boundaries are in the file, so that whoever ships it,
and however often, (journal id, sequence) always means the same events. The journal keeps a chunk
until it has landed; a segment whose chunks have all landed is deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import zlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from edge.contract.events import FRAME_HEADER, Chunk, decode_event
from edge.counters import Counter, Counters

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_HEADER: Final = struct.Struct("<8sQQ")
SEGMENT_MAGIC: Final = b"SYJRNL01"
MARK: Final = 0xFFFF_FFFF
"""In place of a frame's length: the end of a chunk."""
MARK_BODY: Final = struct.Struct("<QQ")
"""(sequence of the chunk that ends here, events in the journal up to here)."""
MARK_SIZE: Final = FRAME_HEADER.size + MARK_BODY.size
CHUNK_BYTES: Final = 256 * 1024
"""A chunk is cut at this size at the latest, so that no stream entry is larger."""

_HEADER_SIZE = FRAME_HEADER.size
_write_header = FRAME_HEADER.pack_into
_LOW_32 = 0xFFFF_FFFF


class JournalFullError(Exception):
    """The disk or the journal's budget has no room for another segment."""


class Room(Protocol):
    """Says whether the journals of this host may grow."""

    def allows(self, more_bytes: int) -> bool:
        """Tell whether `more_bytes` still fit into the budget."""


class Cut(msgspec.Struct, gc=False):
    """Where a chunk lies. `start` and `end`: bytes in its segment, without the mark."""

    sequence: int
    segment: int
    start: int
    end: int
    events: int
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
            raise JournalFullError(f"no room for a journal in {folder}: {error.strerror}") from error
        journal._lock = lock
        with contextlib.suppress(JournalFullError):
            # Tried again at the first append: a worker with a full disk still answers, and says why.
            journal._open_next_segment()
        return journal

    @classmethod
    def adopt(cls, folder: Path) -> Journal | None:
        """Take over the journal of a dead worker; None when its owner lives.

        What the owner had not cut becomes the last chunk. All chunks count as not shipped.
        """
        lock = _take_lock(folder)
        if lock is None:
            return None
        journal = cls(folder, segment_bytes=0, room=None)
        journal._lock = lock
        for path in sorted(folder.glob("*.seg")):
            journal._recover(path)
        if journal._map is not None and journal._events > journal._cut_events:
            journal.cut()
        journal.counters.values[Counter.JOURNALED] = max(
            journal._events, journal.counters.values[Counter.JOURNALED]
        )
        return journal

    def _recover(self, path: Path) -> None:
        """Read one segment's chunks, and stop at its first record that is not whole."""
        if path.stat().st_size < SEGMENT_HEADER.size:
            return
        with path.open("r+b") as file:
            segment = mmap.mmap(file.fileno(), 0)
        magic, sequence, events = SEGMENT_HEADER.unpack_from(segment)
        if magic != SEGMENT_MAGIC:
            if magic != bytes(len(magic)):
                self._report_damage(f"{path.name}: not a journal segment")
            segment.close()
            return
        self._finish_segment()
        self._current = int(path.stem)
        self._segments[self._current] = self._map = segment
        self._sequence, self._events, self._cut_events = sequence, events, events
        self._start = self._position = SEGMENT_HEADER.size
        self._limit = len(segment) - MARK_SIZE
        self._scan(segment, path.name)

    def _scan(self, segment: mmap.mmap, name: str) -> None:
        while self._position + _HEADER_SIZE <= len(segment):
            length, check = FRAME_HEADER.unpack_from(segment, self._position)
            if length == 0:
                return
            is_mark = length == MARK
            start = self._position + _HEADER_SIZE
            end = start + (MARK_BODY.size if is_mark else length)
            payload = segment[start:end]
            if end > len(segment) or xxh3_64_intdigest(payload) & _LOW_32 != check:
                self._report_damage(f"{name}: cut at byte {self._position}, the record there is not whole")
                # What follows the damage must not be read as records later.
                segment[self._position : self._position + _HEADER_SIZE] = bytes(_HEADER_SIZE)
                return
            if is_mark:
                self._note_cut(end)
            else:
                self._events += 1
                self._position = end

    def _report_damage(self, what: str) -> None:
        self.damage.append(what)
        self.counters.values[Counter.CUT_SHORT] += 1

    # --- writing -----------------------------------------------------------------------------

    def append(self, payload: bytes) -> None:
        """Write one encoded event down. Raises JournalFullError, and then nothing was written."""
        start = self._position + _HEADER_SIZE
        end = start + len(payload)
        if end > self._limit:
            start = self._make_room(len(payload)) + _HEADER_SIZE
            end = start + len(payload)
        segment = self._map
        assert segment is not None
        segment[start:end] = payload
        # The header last: with it the record exists.
        _write_header(segment, start - _HEADER_SIZE, len(payload), xxh3_64_intdigest(payload) & _LOW_32)
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
        body = MARK_BODY.pack(self._sequence, self._events)
        start = self._position + _HEADER_SIZE
        self._map[start : start + MARK_BODY.size] = body
        _write_header(self._map, self._position, MARK, xxh3_64_intdigest(body) & _LOW_32)
        self._note_cut(start + MARK_BODY.size)
        self.counters.values[Counter.JOURNALED] = self._events
        return True

    def _note_cut(self, after_mark: int) -> None:
        """Book the chunk from `_start` to `_position`, whose mark ends at `after_mark`."""
        self.unshipped.append(
            Cut(self._sequence, self._current, self._start, self._position, self._events - self._cut_events)
        )
        self._sequence += 1
        self._cut_events = self._events
        self._start = self._position = after_mark
        assert self._map is not None
        self._limit = min(self._start + CHUNK_BYTES, len(self._map) - MARK_SIZE)

    def _open_next_segment(self) -> None:
        if self._room is None or not self._room.allows(self._segment_bytes):
            raise JournalFullError("the journal's budget is used up")
        path = self.folder / f"{self._current + 1:08d}.seg"
        try:
            segment = _reserve(path, self._segment_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise JournalFullError(f"no room for a journal segment: {error.strerror}") from error
        SEGMENT_HEADER.pack_into(segment, 0, SEGMENT_MAGIC, self._sequence, self._events)
        self._finish_segment()
        self._current += 1
        self._segments[self._current] = self._map = segment
        self._start = self._position = SEGMENT_HEADER.size
        self._limit = min(self._start + CHUNK_BYTES, len(segment) - MARK_SIZE)

    def _finish_segment(self) -> None:
        """Leave the current segment: what stands in it uncut becomes a chunk of its own."""
        if self._map is not None:
            self.cut()
            self._drop_landed_segments(keep_current=False)

    def sync(self) -> None:
        """Force what was appended onto the disk. Blocks; may run in a thread."""
        for segment in list(self._segments.values()):
            with contextlib.suppress(ValueError):  # landed and closed meanwhile
                segment.flush()

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
        self.in_flight.append(cut)
        self.in_flight_bytes += cut.end - cut.start
        self.counters.values[Counter.SHIPPED] = max(
            self.counters.values[Counter.SHIPPED], self._events_until(cut)
        )

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
                landed = max(landed, self._events_until(cut))
                if cut.entry_id:
                    self.in_flight_bytes -= cut.end - cut.start
        if landed:
            values = self.counters.values
            values[Counter.LANDED] = max(values[Counter.LANDED], landed)
            values[Counter.SHIPPED] = max(values[Counter.SHIPPED], landed)
            self._drop_landed_segments(keep_current=True)

    def _events_until(self, cut: Cut) -> int:
        """Count the journal's events up to the end of `cut`, which its mark says."""
        segment = self._segments[cut.segment]
        _sequence, events = MARK_BODY.unpack_from(segment, cut.end + _HEADER_SIZE)
        return int(events)

    def _drop_landed_segments(self, *, keep_current: bool) -> None:
        needed = {queue[0].segment for queue in (self.in_flight, self.unshipped) if queue}
        if keep_current:
            needed.add(self._current)
        oldest = min(needed, default=self._current + 1)
        for number in [number for number in self._segments if number < oldest]:
            self._segments.pop(number).close()
            (self.folder / f"{number:08d}.seg").unlink(missing_ok=True)

    @property
    def has_uncut_events(self) -> bool:
        """Tell whether events wait to be cut into a chunk."""
        return self._events > self._cut_events

    def oldest_event_id(self) -> bytes:
        """Give the id of the oldest event that has not landed; empty when all have."""
        cut = min(
            (queue[0] for queue in (self.in_flight, self.unshipped) if queue), key=_by_sequence, default=None
        )
        if cut is not None:
            segment, start = self._segments[cut.segment], cut.start
        elif self.has_uncut_events and self._map is not None:
            segment, start = self._map, self._start
        else:
            return b""
        length, _check = FRAME_HEADER.unpack_from(segment, start)
        start += _HEADER_SIZE
        return decode_event(segment[start : start + length]).id

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


def _reserve(path: Path, size: int) -> mmap.mmap:
    """Make a file of `size` zero bytes that are really on the disk, and map it.

    Without the reservation, a full disk would kill the process at the first write to a page.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
