"""What the edge needs to know of a link, as the publisher writes it to Redis.

The value of a link's key is its version as 16 decimal digits, then the LinkRecord in
MessagePack. The digits let the publishing script compare versions without decoding.
Fields evolve as events do: appended with a default, never moved (see events.py).
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from edge.contract.redis_keys import link_key

VERSION_DIGITS: Final = 16
"""Enough for any version that a Lua number holds exactly (below 2^53)."""


class LinkState(enum.IntEnum):
    """Whether a link redirects. Anything but ACTIVE answers 410."""

    ACTIVE = 1
    INACTIVE = 2
    DELETED = 3


class Stickiness(enum.IntEnum):
    """How a visitor stays on the variant that they saw first."""

    NONE = 0
    COOKIE = 1
    FINGERPRINT = 2


class Variant(msgspec.Struct, array_like=True, frozen=True):
    """One destination. `id`: UUID, 16 bytes. `url`: ASCII, may hold macros. `weight`: 0 to 100."""

    id: bytes
    label: str
    url: str
    weight: int


class LinkRecord(msgspec.Struct, array_like=True, frozen=True):
    """A link as the edge serves it.

    `version`: grows with every change of the link; a lower one never replaces a higher one.
    `geo_rules`: ISO country code -> index into `variants`; empty for a plain A/B link.
    `geo_default`: index for every other country; None for a plain A/B link.
    `winner`: index of the declared winner, which takes all traffic; None while undecided.
    `forward_query`: add the visitor's query parameters that the destination does not set itself.
    `domain`: the custom domain that the link belongs to; "" for the service's own names.
    `project_id`: the project that its clicks count for, UUID, 16 bytes; empty: none.
    """

    tenant_id: bytes
    link_id: bytes
    slug: str
    version: int
    state: LinkState
    variants: tuple[Variant, ...]
    geo_rules: dict[str, int]
    geo_default: int | None
    winner: int | None
    stickiness: Stickiness
    forward_query: bool
    domain: str = ""
    project_id: bytes = b""

    @property
    def key(self) -> str:
        """What the link is looked up by, see redis_keys.link_key."""
        return link_key(self.domain, self.slug)


class BadLinkError(ValueError):
    """The value of a link's key that cannot be read; the message says why."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LinkRecord).decode


def encode_link(record: LinkRecord) -> bytes:
    """Encode a record as the value of its Redis key."""
    return b"%0*d%s" % (VERSION_DIGITS, record.version, _encode(record))


def decode_link(value: bytes) -> LinkRecord:
    """Decode the value of a link's Redis key. Raises BadLinkError when it is not one."""
    try:
        return _decode(memoryview(value)[VERSION_DIGITS:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLinkError(f"not a link's record: {error}") from error
