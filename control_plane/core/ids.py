"""Ids are UUIDv7: unique without asking anyone, and ordered by time.

The first 48 bits are Unix milliseconds, so a span of time is a range of ids.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from uuid_utils import compat

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS: Final = 80


def new_id() -> uuid.UUID:
    """Make a UUIDv7 of this moment."""
    return compat.uuid7()


def id_floor(moment: datetime) -> uuid.UUID:
    """Give the smallest id of `moment`'s millisecond. `moment`: aware, 1970 or later."""
    return uuid.UUID(int=((moment - EPOCH) // timedelta(milliseconds=1)) << _RANDOM_BITS)


def id_time(event_id: uuid.UUID) -> datetime:
    """Give the moment in an id, in UTC, to the millisecond."""
    return EPOCH + timedelta(milliseconds=event_id.int >> _RANDOM_BITS)


def read_uuid(word: str | None) -> uuid.UUID | None:
    """Read an id; None if the word is none."""
    try:
        return uuid.UUID(word or "")
    except ValueError:
        return None


def spellings_of(word: str) -> list[str]:
    """Give how a thing may be written down that somebody names so: a UUID in its usual form as well."""
    named = read_uuid(word)
    return [word] if named is None else [word, str(named)]
