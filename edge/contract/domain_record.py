"""What the edge needs to know of a custom domain, as the publisher writes it to Redis.

The value is made like a link's (link_record.py): the version as 16 decimal digits, then the
DomainRecord in MessagePack. Fields are appended with a default, never moved.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edge.contract.link_record import VERSION_DIGITS

NOBODY: Final = b""
"""The tenant of a domain that was proven once, and is nobody's now."""


class DomainRecord(msgspec.Struct, array_like=True, frozen=True):
    """A domain that was proven at least once.

    `domain`: lower-case A-labels. `version`: grows with every change; a lower one never replaces a
    higher one. `tenant_id`: whose links it leads to, UUID, 16 bytes; NOBODY: all of them are gone.
    """

    domain: str
    version: int
    tenant_id: bytes


class BadDomainError(ValueError):
    """The value of a domain that cannot be read; the message says why."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DomainRecord).decode


def encode_domain(record: DomainRecord) -> bytes:
    """Encode a record as its value in Redis."""
    return b"%0*d%s" % (VERSION_DIGITS, record.version, _encode(record))


def decode_domain(value: bytes) -> DomainRecord:
    """Decode a domain's value in Redis. Raises BadDomainError when it is not one."""
    try:
        return _decode(memoryview(value)[VERSION_DIGITS:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadDomainError(f"not a domain's record: {error}") from error
