"""Forgetting who visitors were: what may be asked for, and what is known of it.

Rows stay, and with them what sums are kept by; what says who somebody was goes. See the migration for which
columns that is, and queries.sql for what is left of them.
"""

from __future__ import annotations

import enum
import hashlib
import uuid
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from control_plane.core.ids import id_time, read_uuid

WORD_LENGTH: Final = 255
"""Characters of what a click or visit may be called."""
WORD_KEY_BYTES: Final = 12
VISITOR_BITS: Final = 64
VISITOR_DIGITS: Final = 16
KEPT_WITH_CONVERSIONS_DAYS: Final = 31
"""A conversion waits for 30 days for what it belongs to: what it names that by is kept for as long."""


class ErasureKind(enum.StrEnum):
    """What an erasure begins with. A visitor: of one day (UTC), since they have another number the next."""

    CLICK = "click"
    VISIT = "visit"
    VISITOR = "visitor"


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased. `subject`: what the click or visit is called, or the number in hex digits.

    `whole_visitor`: along with everything else of the same visitor on the same day.
    """

    kind: ErasureKind
    subject: str
    day: date | None = None
    whole_visitor: bool = False

    @property
    def digest(self) -> bytes:
        """Give what the same request is recognised by."""
        said = [
            self.kind,
            self.subject,
            None if self.day is None else self.day.isoformat(),
            self.whole_visitor,
        ]
        return hashlib.sha256(msgspec.json.encode(said)).digest()


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure. `subject`: None once it is done, but for ids of ours. `requested_by`: the API key.

    `clicks`, `visits`, `conversions`: rows that somebody was forgotten in, later ones among them.
    """

    id: uuid.UUID
    kind: ErasureKind
    subject: str | None
    day: date | None
    whole_visitor: bool
    requested_at: datetime
    requested_by: uuid.UUID | None
    clicks: int
    visits: int
    conversions: int
    finished_at: datetime | None


class DueErasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure that is to be looked at, as of `due_at`."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    kind: ErasureKind
    subject: str | None
    whole_visitor: bool
    due_at: datetime


class NotedSubject(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an erasure is about. `key`: see the migration. `is_asked`: it was asked for."""

    key: bytes
    is_asked: bool = False
    day: date | None = None


class Rows(msgspec.Struct):
    """Rows of one tenant. `conversions`: with their projects."""

    clicks: set[uuid.UUID] = msgspec.field(default_factory=set)
    visits: set[uuid.UUID] = msgspec.field(default_factory=set)
    conversions: dict[uuid.UUID, uuid.UUID] = msgspec.field(default_factory=dict)

    def add(self, others: Rows) -> None:
        """Take up others of the same tenant."""
        self.clicks |= others.clicks
        self.visits |= others.visits
        self.conversions |= others.conversions


class Forgotten(msgspec.Struct, frozen=True):
    """In how many rows somebody was forgotten."""

    clicks: int = 0
    visits: int = 0
    conversions: int = 0


class Retention(msgspec.Struct, frozen=True):
    """How long a tenant's events keep what says who somebody was. `as_of`: when the tenant last changed."""

    tenant_id: uuid.UUID
    days: int
    as_of: datetime


def word_key(word: str) -> bytes:
    """Give the key of what a click or visit is called: the id, or a digest of what is none."""
    named = read_uuid(word)
    if named is not None:
        return named.bytes
    return hashlib.blake2b(word.encode(errors="replace"), digest_size=WORD_KEY_BYTES).digest()


def visitor_key(visitor_id: int) -> bytes:
    """Give the key of a visitor. `visitor_id`: as rows have it, with a sign."""
    return visitor_id.to_bytes(VISITOR_BITS // 8, "big", signed=True)


def read_visitor(digits: str) -> int:
    """Read a visitor's number from its hex digits, with a sign as rows have it. Raises ValueError."""
    return int.from_bytes(bytes.fromhex(digits), "big", signed=True)


def day_of_id(event_id: uuid.UUID) -> date:
    """Give the day (UTC) in an id."""
    return id_time(event_id).astimezone(UTC).date()
