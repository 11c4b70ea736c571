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
    project_id: bytes = b""


class Visit(msgspec.Struct, array_like=True, tag="v", frozen=True, gc=False):
    """One view of a page, as its tag or its pixel reported it.

    `id`: UUIDv7, made by the tag or the edge: the same visit reported twice has the same id.
    `click_id`: of the click that led there, as the page was told; "" when it was not.
    `client_id`: what the tag calls this browser, where its visitor agreed to that; else "".
    `ip`, `country`, `user_agent`, `prefetch`: as in a Click.
    `received_ms`: Unix milliseconds at which the edge got it; 0 where its id says so.
    """

    id: Id
    tenant_id: Id
    project_id: Id
    click_id: str
    client_id: str
    landing_url: str
    referrer: str
    ip: str
    country: str
    user_agent: str
    prefetch: bool = False
    received_ms: int = 0


class PageClick(msgspec.Struct, array_like=True, tag="p", frozen=True, gc=False):
    """One click on an element of a page: an outbound link, or what is marked to be reported.

    `id`: as in a Visit. `click_id`: what others call it by, "" where that is its id. `visit_id`: the
    visit that it belongs to, as text; "" when unknown. `page_url`: the page that the element is on.
    `received_ms`: as in a Visit.
    """

    id: Id
    tenant_id: Id
    project_id: Id
    click_id: str
    visit_id: str
    target_url: str
    element_type: str
    element_text: str
    page_url: str
    ip: str
    country: str
    user_agent: str
    received_ms: int = 0


class ConversionKind(enum.IntEnum):
    """What a visitor did that counts in money; stored with every conversion."""

    CHECKOUT = 1
    SALE = 2
    REFUND = 3
    UPSELL = 4


class Conversion(msgspec.Struct, array_like=True, tag="e", frozen=True, gc=False):
    """A checkout, sale, refund or upsell, as it was reported; what is "" was not said.

    `id`: UUIDv7, made by the edge or the API. `kind`: a `ConversionKind`. `external_id`: what the
    reporter calls it; a project counts each (kind, external_id) once. `status`: pending, completed,
    abandoned (checkouts) or rejected. `sale_id`, `parent_sale_id`: which sale it changes, by either id.
    `amount_minor`, `commission_minor`: minor units of `currency` (money.py). `source`: tag, postback or
    api. `is_chargeback`: a refund that the buyer's bank took back.
    """

    id: Id
    tenant_id: Id
    project_id: Id
    kind: int
    external_id: str
    status: str
    amount_minor: int
    commission_minor: int
    currency: str
    source: str
    visit_id: str = ""
    click_id: str = ""
    checkout_id: str = ""
    sale_id: str = ""
    parent_sale_id: str = ""
    product_id: str = ""
    offer_id: str = ""
    transaction_id: str = ""
    reason: str = ""
    is_chargeback: bool = False


Event: TypeAlias = Click | Visit | PageClick | Conversion
"""Every kind of event."""


def find_arrival_ms(event: Event) -> int:
    """Give when an edge got an event, in Unix milliseconds: a page's own clock dates what it reports."""
    received_ms = event.received_ms if isinstance(event, Visit | PageClick) else 0
    return received_ms or int.from_bytes(event.id[:6], "big")


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

_decode: Callable[[bytes | memoryview], Event] = msgspec.msgpack.Decoder(Event).decode


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
