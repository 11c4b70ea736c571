"""The wire format of events: what an edge writes down and the flusher reads.

An event is a tagged, array-like msgspec struct in MessagePack. Arrays make it small and
fast; the tag (first element) tells which struct follows, so one stream carries every kind.

How the format may evolve:
- a field may be appended, with a default, so that old bytes still decode;
- a field is never removed, renamed in meaning, or moved;
- a new kind gets a new tag; a tag is never used twice.
Golden bytes in tests/edge/test_contract.py hold both directions to this.

Frames. A journal, and the chunk that is cut from it, is a run of frames::

    u32 little-endian  length of the payload in bytes, never 0
    u32 little-endian  check: low 32 bits of the journal's own checksum of the payload
    payload            one encoded event

The frame header is as long as a journal needs it; a chunk is the journal's own bytes, sent as
they stand, guarded as a whole by the CRC-32 of the stream entry (see `Chunk`).
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAME_HEADER: Final = struct.Struct("<II")
"""(payload length, payload check) in front of every event."""


Id: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
"""A UUID as its 16 bytes."""


class Reason(enum.IntEnum):
    """Why a visitor was sent to a variant; stored with every click."""

    WINNER = 1
    GEO = 2
    GEO_DEFAULT = 3
    WEIGHT = 4
    STICKY = 5
    FINGERPRINT = 6


class Click(msgspec.Struct, array_like=True, tag="c", frozen=True, gc=False):
    """One redirect that was answered.

    `id`: UUIDv7; its first 48 bits are the time of the click in Unix milliseconds.
    `link_version`: the version of the link's record that decided.
    `reason`: a `Reason`.
    `ip`: the visitor's address as text, as seen behind trusted proxies; "" when unknown.
    `country`: ISO 3166-1 alpha-2, upper case; "" when unknown.
    `prefetch`: the browser said that it only fetches ahead (`Sec-Purpose` and its elders).
    """

    id: Id
    tenant_id: Id
    link_id: Id
    variant_id: Id
    link_version: int
    reason: int
    ip: str
    country: str
    referrer: str
    user_agent: str
    query: str
    prefetch: bool = False


Event = Click
"""Every kind of event; a union once there is more than one."""


class Chunk(msgspec.Struct, frozen=True):
    """One entry of the event stream: a run of frames cut from one journal.

    `journal_id` (32 hex digits) and `sequence` (from 1, without gaps) name it for ever: the
    same pair always carries the same frames, however often it is sent.
    `events`: number of frames. `body`: the frames. `crc`: CRC-32 of `body`.
    """

    journal_id: str
    sequence: int
    events: int
    crc: int
    body: bytes


class BadChunkError(ValueError):
    """A stream entry or a frame in it that cannot be read; the message says why."""


encode_event: Final[Callable[[Event], bytes]] = msgspec.msgpack.Encoder().encode
"""Encode one event as MessagePack. The encoder's own method: a function around it would cost a tenth."""

_decode = msgspec.msgpack.Decoder(Event).decode


def decode_event(payload: bytes | memoryview) -> Event:
    """Decode one event. Raises BadChunkError when the bytes are not a known event."""
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadChunkError(f"not a known event: {error}") from error


def chunk_fields(chunk: Chunk) -> dict[bytes, bytes | int | str]:
    """Lay a chunk out as the fields of a stream entry."""
    return {
        b"j": chunk.journal_id,
        b"s": chunk.sequence,
        b"n": chunk.events,
        b"c": chunk.crc,
        b"b": chunk.body,
    }


def read_chunk(fields: dict[bytes, bytes]) -> Chunk:
    """Read a stream entry. Raises BadChunkError when a field is missing, malformed or corrupted."""
    try:
        chunk = Chunk(
            journal_id=fields[b"j"].decode("ascii"),
            sequence=int(fields[b"s"]),
            events=int(fields[b"n"]),
            crc=int(fields[b"c"]),
            body=fields[b"b"],
        )
    except (KeyError, ValueError) as error:
        raise BadChunkError(f"stream entry lacks or garbles a field: {error!r}") from error
    if zlib.crc32(chunk.body) != chunk.crc:
        raise BadChunkError(f"CRC-32 of the body is not {chunk.crc}")
    return chunk


def split_frames(body: bytes) -> Iterator[memoryview]:
    """Yield the payload of each frame. Raises BadChunkError where the frames do not fill the body."""
    view = memoryview(body)
    position, end = 0, len(body)
    header_size = FRAME_HEADER.size
    while position < end:
        if end - position < header_size:
            raise BadChunkError(f"a frame header is cut short at byte {position}")
        length, _check = FRAME_HEADER.unpack_from(body, position)
        start = position + header_size
        position = start + length
        if length == 0 or position > end:
            raise BadChunkError(f"the frame at byte {start - header_size} has an impossible length")
        yield view[start:position]
