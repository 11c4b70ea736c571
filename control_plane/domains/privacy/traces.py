"""Find all rows that hang together with a click or a visit.

From a click to the visits that it led to, their clicks on pages, and what was bought; from each of these back
to the click. By ids alone: what somebody else calls a click may stand for many ("{click_id}", where a macro
was never filled in), so such a word counts only where it is what was asked for.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.ids import id_floor, read_uuid
from control_plane.db.pool import load_queries
from control_plane.domains.privacy.model import Rows, day_of_id
from control_plane.domains.privacy.store import AT_ONCE, slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))
_HOUR = timedelta(hours=1)


class Traces(msgspec.Struct):
    """What was found. `ids`: what the clicks and visits among it are called. `visitors`: (number, day)."""

    rows: Rows = msgspec.field(default_factory=Rows)
    ids: set[uuid.UUID] = msgspec.field(default_factory=set)
    visitors: set[tuple[int, date]] = msgspec.field(default_factory=set)


class _Ahead(msgspec.Struct):
    """What is still to be looked for: rows by id, and rows that name a click or a visit."""

    ids: set[uuid.UUID] = msgspec.field(default_factory=set)
    click_words: set[str] = msgspec.field(default_factory=set)
    visit_words: set[str] = msgspec.field(default_factory=set)
    targets: set[uuid.UUID] = msgspec.field(default_factory=set)


async def find_traces(
    db: Connection,
    tenant_id: uuid.UUID,
    ids: Iterable[uuid.UUID],
    *,
    click_words: Iterable[str] = (),
    visit_words: Iterable[str] = (),
) -> Traces:
    """Find all that hangs together with these ids, of clicks or visits alike, or with others' words."""
    search = _Search(db, tenant_id)
    search.ahead.click_words.update(click_words)
    search.ahead.visit_words.update(visit_words)
    search.name(ids)
    await search.run()
    return search.traces


async def find_visitors_rows(
    db: Connection, tenant_id: uuid.UUID, visitors: Iterable[tuple[int, date]]
) -> set[uuid.UUID]:
    """Find the ids of clicks and visits of these visitors, hour by hour of their days."""
    of_days: dict[date, list[int]] = {}
    for number, day in visitors:
        of_days.setdefault(day, []).append(number)
    found: set[uuid.UUID] = set()
    for day, numbers in of_days.items():
        for hour in range(24):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC) + hour * _HOUR
            bounds = {"low": id_floor(start), "high": id_floor(start + _HOUR)}
            for find in (_queries.find_visitors_clicks, _queries.find_visitors_visits):
                rows = find(db, tenant_id=tenant_id, visitor_ids=numbers, **bounds)
                found.update([row["id"] async for row in rows])
    return found


class _Search:
    """Goes from row to row until there is nothing new."""

    def __init__(self, db: Connection, tenant_id: uuid.UUID) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self.traces = Traces()
        self.ahead = _Ahead()

    def name(self, ids: Iterable[uuid.UUID | None]) -> None:
        """Have these ids looked for, once each: as ids of rows, and as what rows name."""
        for named in ids:
            if named is not None and named not in self.traces.ids:
                self.traces.ids.add(named)
                self.ahead.ids.add(named)
                spelled = {str(named), str(named).upper(), named.hex}
                self.ahead.click_words |= spelled
                self.ahead.visit_words |= spelled

    async def run(self) -> None:
        """Look for what is ahead, and for what that leads to."""
        while self.ahead != _Ahead():
            ahead, self.ahead = self.ahead, _Ahead()
            for ids in slices(ahead.ids):
                self._take_clicks(await self._find(_queries.find_clicks, ids=ids))
                self._take_visits(await self._find(_queries.find_visits, ids=ids))
            for words in _cut(ahead.click_words):
                self._take_clicks(await self._find(_queries.find_clicks_by_word, words=words))
                self._take_visits(await self._find(_queries.find_visits_of_clicks, words=words))
                self._take_conversions(await self._find_conversions(click_words=words))
            for words in _cut(ahead.visit_words):
                self._take_clicks(await self._find(_queries.find_clicks_of_visits, words=words))
                self._take_conversions(await self._find_conversions(visit_words=words))
            for ids in slices(ahead.ids):
                self._take_conversions(await self._find_conversions(clicks=ids))
            for ids in slices(ahead.targets):
                self._take_conversions(await self._find_conversions(targets=ids))

    async def _find(self, find: Any, **names: Any) -> list[Any]:
        return [row async for row in find(self._db, tenant_id=self._tenant_id, **names)]

    async def _find_conversions(self, **names: Any) -> list[Any]:
        nothing: dict[str, Any] = {"clicks": [], "click_words": [], "visit_words": [], "targets": []}
        return await self._find(_queries.find_conversions, **nothing | names)

    def _take_clicks(self, rows: list[Any]) -> None:
        for row in rows:
            self.traces.rows.clicks.add(row["id"])
            self._note_visitor(row)
            self.name([row["id"], read_uuid(row["click_id"]), read_uuid(row["visit_id"])])

    def _take_visits(self, rows: list[Any]) -> None:
        for row in rows:
            self.traces.rows.visits.add(row["id"])
            self._note_visitor(row)
            self.name([row["id"], read_uuid(row["click_id"])])

    def _take_conversions(self, rows: list[Any]) -> None:
        for row in rows:
            if row["id"] not in self.traces.rows.conversions:
                self.traces.rows.conversions[row["id"]] = row["project_id"]
                self.ahead.targets.add(row["id"])
                self.name([read_uuid(row["click_id"]), read_uuid(row["visit_id"])])

    def _note_visitor(self, row: Any) -> None:
        if row["visitor_id"] is not None:
            self.traces.visitors.add((row["visitor_id"], day_of_id(row["id"])))


def _cut(words: set[str]) -> Iterator[list[str]]:
    listed = sorted(words)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
