"""One file of a journal: how it is laid out, made, and read after a crash.

A segment has a fixed size, is reserved on disk and mapped into memory::

    header   magic, sequence of its first chunk, events before it, its size, check
    frames   one per event (edge/contract/events.py), check = xxh3-64 of the payload, low 32 bits
    marks    a frame whose length is MARK: a chunk ends here; the payload is the chunk's sequence
    zeros    nothing written yet

A record's payload is written first and its header last, so a process that dies leaves a whole
record or none. Against a power cut, or a bit that flipped, the checks find what is not whole.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from edge.contract.events import FRAME_HEADER

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_MAGIC: Final = b"SYJRNL01"
SEGMENT_NAME: Final = "[0-9]" * 8 + ".seg"
"""Pattern of the names of segments: their number, from 1."""
SEGMENT_HEADER: Final = struct.Struct("<8sQQII")
MARK: Final = 0xFFFF_FFFF
"""In place of a frame's length: the end of a chunk."""
MARK_BODY: Final = struct.Struct("<Q")
MARK_SIZE: Final = FRAME_HEADER.size + MARK_BODY.size
SMALLEST_CHUNK: Final = 2 * FRAME_HEADER.size + MARK_BODY.size + 100
"""An event takes more than 100 bytes: its ids alone are 72."""

_CHECKED = SEGMENT_HEADER.size - 4
_LOW_32 = 0xFFFF_FFFF


class Span(NamedTuple):
    """Where a chunk lies in its segment, in bytes and without its mark, and how many events it has."""

    start: int
    end: int
    events: int


class Contents(msgspec.Struct, frozen=True):
    """What a segment holds. `chunks`: in order; the last one may lack its mark.

    `damaged_at`: byte at which reading stopped, because what stands there is not whole.
    """

    first_sequence: int
    events_before: int
    chunks: list[Span]
    damaged_at: int | None


def check_of(payload: bytes) -> int:
    """Give the check that goes into a record's header."""
    return xxh3_64_intdigest(payload) & _LOW_32


def create_segment(path: Path, *, size: int, first_sequence: int, events_before: int) -> mmap.mmap:
    """Make a segment of `size` bytes that are really on the disk, and map it. Raises OSError.

    Without the reservation, a full disk would kill the process at the first write to a page.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        segment = mmap.mmap(descriptor, size)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
    header = SEGMENT_HEADER.pack(SEGMENT_MAGIC, first_sequence, events_before, size, 0)[:_CHECKED]
    segment[: SEGMENT_HEADER.size] = header + struct.pack("<I", check_of(header))
    return segment


def map_segment(path: Path) -> mmap.mmap | None:
    """Map a segment that a dead process left; None when it never wrote anything. Raises OSError."""
    with path.open("r+b") as file:
        if not any(file.read(SEGMENT_HEADER.size + FRAME_HEADER.size)):
            return None
        return mmap.mmap(file.fileno(), 0)


def read_segment(segment: mmap.mmap) -> Contents | None:
    """Read a segment up to its first record that is not whole; None when its header is not."""
    if len(segment) < SEGMENT_HEADER.size:
        return None
    magic, first_sequence, events_before, size, check = SEGMENT_HEADER.unpack_from(segment)
    if magic != SEGMENT_MAGIC or check != check_of(segment[:_CHECKED]):
        return None
    chunks, damaged_at = _scan(segment, first_sequence)
    if damaged_at is None and len(segment) != size:
        damaged_at = len(segment)
    return Contents(first_sequence, events_before, chunks, damaged_at)


def _scan(segment: mmap.mmap, first_sequence: int) -> tuple[list[Span], int | None]:
    chunks: list[Span] = []
    damaged_at = None
    start = position = SEGMENT_HEADER.size
    events = 0
    while position + FRAME_HEADER.size <= len(segment):
        length, check = FRAME_HEADER.unpack_from(segment, position)
        if length == check == 0:
            break
        is_mark = length == MARK
        body = position + FRAME_HEADER.size
        end = body + (MARK_BODY.size if is_mark else length)
        payload = segment[body:end]
        if length == 0 or end > len(segment) or check_of(payload) != check:
            damaged_at = position
            break
        if is_mark:
            if payload != MARK_BODY.pack(first_sequence + len(chunks)):
                damaged_at = position
                break
            chunks.append(Span(start, position, events))
            start, events = end, 0
        else:
            events += 1
        position = end
    if events:
        chunks.append(Span(start, position, events))
    return chunks, damaged_at
