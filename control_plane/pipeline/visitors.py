"""Who came: a number for each visitor, that nobody can trace back once the day's salt is gone.

The number is a keyed hash of address, user agent and tenant, whose key is drawn anew for each day (UTC) and
deleted some days later (jobs/upkeep.py). So a visitor who comes back another day is another one.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from control_plane.core.ids import EPOCH
from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from control_plane.db.pool import Connection

DAY_MS: Final = 86_400_000
PARTS: Final = 8
"""Tables that `visitors_seen` consists of, of which each holds every eighth day."""

SeenKey: TypeAlias = tuple[int, bytes, int]
"""(day since 1970, link or project, visitor)"""

_EPOCH_DAY: Final = EPOCH.date()
_queries = load_queries(Path(__file__).with_name("visitors.sql"))


class VisitorSalts:
    """The salts of days, drawn when a day is first asked for, and the same for all flushers.

    Those of the latest events are remembered.
    """

    def __init__(self) -> None:
        self._salts: dict[int, bytes] = {}

    async def load(self, db: Connection, days: set[int]) -> dict[int, bytes]:
        """Give the salts of days since 1970."""
        known = {day: self._salts[day] for day in days if day in self._salts}
        if missing := days - known.keys():
            dates = [date_of(day) for day in sorted(missing)]
            new = [secrets.token_bytes(32) for _ in dates]
            await _queries.draw_salts(db, days=dates, salts=new)
            async for row in _queries.list_salts(db, days=dates):
                known[(row["day"] - _EPOCH_DAY).days] = row["salt"]
        self._salts = known  # no others, lest they outlive those in Postgres here
        return known


def number_visitor(salt: bytes, tenant_id: bytes, ip: str, user_agent: str) -> int:
    """Give the number of a visitor: 64 bits, with a sign, as Postgres keeps them."""
    seen = b"\0".join((tenant_id, ip.encode(errors="replace"), user_agent.encode(errors="replace")))
    return int.from_bytes(blake2b(seen, key=salt, digest_size=8).digest(), "big", signed=True)


async def mark_seen(db: Connection, keys: Iterable[SeenKey]) -> set[SeenKey]:
    """Note that visitors were seen; give those that were not before. In order of key, for all alike."""
    ordered = sorted(set(keys))
    if not ordered:
        return set()
    # Many visitors of few subjects on one day or two: those are converted once.
    dates = {day: date_of(day) for day in {key[0] for key in ordered}}
    subjects = {subject: UUID(bytes=subject) for subject in {key[1] for key in ordered}}
    days = {date: day for day, date in dates.items()}
    rows = _queries.mark_seen(
        db,
        parts=[day % PARTS for day, _subject, _visitor in ordered],
        subjects=[subjects[subject] for _day, subject, _visitor in ordered],
        days=[dates[day] for day, _subject, _visitor in ordered],
        visitor_ids=[visitor for _day, _subject, visitor in ordered],
    )
    return {(days[row[0]], row[1].bytes, row[2]) async for row in rows}


def date_of(day: int) -> date:
    """Give the date of a day since 1970."""
    return type(_EPOCH_DAY).fromordinal(_EPOCH_DAY.toordinal() + day)
