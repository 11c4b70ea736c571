"""Wrong codes of a user, over all their challenges and sessions.

A challenge ends after five tries, but who knows the password can begin as many as they like. Six digits
would not stand that for long: after every five wrong codes in a row, none is looked at for a while, twice
as long each time, up to twelve hours. That leaves a guesser some ten codes a day. A right code forgets
the wrong ones. All functions need the user's row locked (store.lock_holder).
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from control_plane.db.pool import load_queries
from control_plane.domains.mfa.errors import MfaLocked

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection

FREE: Final = 5
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=12)
FORGOTTEN_AFTER: Final = timedelta(days=30)

_DOUBLINGS: Final = 10
"""So many reach LONGEST_WAIT."""

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def require_unlocked(db: Connection, owner: tuple[uuid.UUID, uuid.UUID], now: datetime) -> None:
    """Raise MfaLocked while codes of the user are not looked at."""
    row = await _queries.fetch_failures(db, tenant_id=owner[0], subject_hash=_subject(owner))
    if row is not None and row["locked_until"] is not None and row["locked_until"] > now:
        raise MfaLocked(math.ceil((row["locked_until"] - now).total_seconds()))


async def count_failure(db: Connection, owner: tuple[uuid.UUID, uuid.UUID], now: datetime) -> bool:
    """Count a wrong code. Answers whether it was one too many."""
    row = await _queries.fetch_failures(db, tenant_id=owner[0], subject_hash=_subject(owner))
    before = row["failures"] if row is not None and now - row["last_failed_at"] < FORGOTTEN_AFTER else 0
    rounds, rest = divmod(before + 1, FREE)
    await _queries.save_failures(
        db,
        tenant_id=owner[0],
        subject_hash=_subject(owner),
        failures=before + 1,
        now=now,
        locked_until=now + wait_after(rounds) if rest == 0 else None,
    )
    return rest == 0


async def forget_failures(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> None:
    """Begin to count anew: the user has a right code."""
    await _queries.clear_failures(db, tenant_id=owner[0], subject_hash=_subject(owner))


def wait_after(rounds: int) -> timedelta:
    """Say for how long codes are not looked at. `rounds`: of FREE wrong codes, from 1."""
    doublings: int = 2 ** min(rounds - 1, _DOUBLINGS)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def _subject(owner: tuple[uuid.UUID, uuid.UUID]) -> bytes:
    """Give the row's key: of the same table as failed passwords, but no account's identifier."""
    return hashlib.sha256(b"mfa:" + owner[1].bytes).digest()
