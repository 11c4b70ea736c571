"""What the edge needs to know to take in visits and conversions: projects, and keys that may report sales.

The publisher writes both to Redis; the values are made like a link's (link_record.py): the version as
16 decimal digits, then the record in MessagePack. Fields are appended with a default, never moved.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edge.contract.link_record import VERSION_DIGITS

INTAKE_SCOPE: Final = "sales:write"
"""What a key must be allowed to do to be known here."""

INTAKE_KEY_PREFIX: Final = "fr_live_"
"""How such keys begin: keys for tests open nothing here, as there are no rows but real ones."""


class ProjectRecord(msgspec.Struct, array_like=True, frozen=True):
    """A project whose visits and conversions are taken in.

    `project_id`, `tenant_id`: UUIDs, 16 bytes each. `version`: grows with every change; a lower one never
    replaces a higher one. `is_active`: whether anything is taken in. `domain`: "" for none. `currency`:
    of amounts that name none. `accepts_tag_sales`: whether pages may report checkouts and sales.
    `secret_hash`: SHA-256 of what postbacks prove themselves with; empty for none. The one before is
    valid until `previous_secret_until_ms`: Unix time, 0 for not at all.
    """

    project_id: bytes
    version: int
    tenant_id: bytes
    is_active: bool
    domain: str
    currency: str
    accepts_tag_sales: bool
    secret_hash: bytes = b""
    previous_secret_hash: bytes = b""
    previous_secret_until_ms: int = 0


class IntakeKeyRecord(msgspec.Struct, array_like=True, frozen=True):
    """An API key that may report conversions.

    `key_hash`: SHA-256 of the key. `is_active`: neither revoked nor of a tenant that is suspended.
    `expires_at_ms`: Unix time; 0 for never. `allowed_ips`: networks such as "198.51.100.0/24" from which
    alone it may be used; empty: from everywhere.
    """

    key_hash: bytes
    version: int
    tenant_id: bytes
    is_active: bool
    expires_at_ms: int = 0
    allowed_ips: tuple[str, ...] = ()


class BadIntakeRecordError(ValueError):
    """The value of a project or key that cannot be read; the message says why."""


_encode = msgspec.msgpack.Encoder().encode
_decode_project = msgspec.msgpack.Decoder(ProjectRecord).decode
_decode_key = msgspec.msgpack.Decoder(IntakeKeyRecord).decode


def encode_project(record: ProjectRecord) -> bytes:
    """Encode a project's record as its value in Redis."""
    return b"%0*d%s" % (VERSION_DIGITS, record.version, _encode(record))


def decode_project(value: bytes) -> ProjectRecord:
    """Decode a project's value in Redis. Raises BadIntakeRecordError when it is not one."""
    try:
        return _decode_project(memoryview(value)[VERSION_DIGITS:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadIntakeRecordError(f"not a project's record: {error}") from error


def encode_intake_key(record: IntakeKeyRecord) -> bytes:
    """Encode a key's record as its value in Redis."""
    return b"%0*d%s" % (VERSION_DIGITS, record.version, _encode(record))


def decode_intake_key(value: bytes) -> IntakeKeyRecord:
    """Decode a key's value in Redis. Raises BadIntakeRecordError when it is not one."""
    try:
        return _decode_key(memoryview(value)[VERSION_DIGITS:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadIntakeRecordError(f"not a key's record: {error}") from error
