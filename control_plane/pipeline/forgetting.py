"""Forget, in the transaction that lands them, who made events that come late.

That is: what an erasure is about that was asked for meanwhile, and what is older than its tenant lets
visitors be known. Every landing asks what was newly noted, after its ledger has been written: whoever
carries out an erasure waits for those that asked too early (jobs/privacy.py). While there are no erasures,
and nothing is late, events are not looked at.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from control_plane.core.ids import EPOCH
from control_plane.domains.privacy import store
from control_plane.domains.privacy.model import (
    KEPT_WITH_CONVERSIONS_DAYS,
    NotedSubject,
    Rows,
    visitor_key,
    word_key,
)
from control_plane.pipeline.page_rows import own_id
from control_plane.pipeline.visitors import DAY_MS, date_of, number_visitor
from edge.contract.events import Click, Conversion, PageClick, Visit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.pipeline.landing import Batch
    from edge.contract.events import Event

SHORTEST_DAYS: Final = 1
"""No tenant's retention is shorter: events of today are never looked at for it."""
ID_BYTES: Final = 16


class _Mark(msgspec.Struct, frozen=True):
    """That a key belongs to an erasure. `tells_visitor`: whoever it is of is erased with it."""

    erasure_id: UUID
    tells_visitor: bool


class _Landed(msgspec.Struct):
    """What of a batch is to be forgotten, by tenant, and what that adds to erasures.

    `notes`: (tenant, erasure) -> keys, with the day of those that are visitors.
    """

    rows: dict[UUID, Rows] = msgspec.field(default_factory=dict)
    notes: dict[tuple[UUID, UUID], dict[bytes, date | None]] = msgspec.field(default_factory=dict)

    def of(self, tenant_id: UUID) -> Rows:
        """Give the rows of a tenant."""
        return self.rows.setdefault(tenant_id, Rows())

    def add(self, event: Event) -> None:
        """Have the row of an event forgotten; those of conversions are added once they are known."""
        rows = self.of(UUID(bytes=event.tenant_id))
        if isinstance(event, Visit):
            rows.visits.add(UUID(bytes=event.id))
        elif isinstance(event, PageClick):
            rows.clicks.add(UUID(bytes=own_id(event.id)))
        elif isinstance(event, Click):
            rows.clicks.add(UUID(bytes=event.id))


class Forgetter:
    """What a flusher knows of erasures. All of its lanes share one."""

    def __init__(self) -> None:
        self.marks: dict[bytes, list[_Mark]] = {}
        """(tenant, key of a subject) -> its erasures"""
        self.knows_visitors = False
        self._read_up_to = 0

    async def forget_landed(self, db: Connection, batch: Batch, salts: Mapping[int, bytes]) -> None:
        """Forget what must be of a batch whose rows were just written."""
        await self._learn(db)
        landed = _Landed()
        await _find_expired(db, batch, landed)
        if self.marks:
            search = _Search(self, salts, landed)
            search.find_events(batch.events)
            await search.find_conversions(db, batch.conversions)
        for tenant_id, rows in sorted(landed.rows.items()):
            await _forget(db, tenant_id, rows, batch.now)
        for (tenant_id, erasure_id), keys in sorted(landed.notes.items()):
            subjects = [NotedSubject(key=key, day=day) for key, day in sorted(keys.items())]
            await store.note_subjects(db, tenant_id, erasure_id, subjects, batch.now)
        if landed.notes:
            await store.make_due(db, landed.notes)

    async def _learn(self, db: Connection) -> None:
        for row in await store.list_new_subjects(db, self._read_up_to):
            key = row["tenant_id"].bytes + row["key"]
            mark = _Mark(row["erasure_id"], row["tells_visitor"])
            if mark not in (marks := self.marks.setdefault(key, [])):
                marks.append(mark)
            self.knows_visitors = self.knows_visitors or row["day"] is not None
            self._read_up_to = max(self._read_up_to, row["number"])


class _Search:
    """Finds what of a batch is about to be erased, and what of the same batch belongs to that."""

    def __init__(self, known: Forgetter, salts: Mapping[int, bytes], landed: _Landed) -> None:
        self._known = known.marks
        self._knows_visitors = known.knows_visitors
        self._found: dict[bytes, list[_Mark]] = {}
        self._salts = salts
        self._landed = landed

    def find_events(self, events: list[Event]) -> None:
        """Find events, until none is left that belongs to one that was found."""
        while True:
            rest = [event for event in events if not self._match(event)]
            if len(rest) == len(events):
                return
            events = rest

    async def find_conversions(self, db: Connection, events: list[Conversion]) -> None:
        """Find those that name what is erased, and those that were joined to it, as refunds are."""
        named = {event.id for event in events if self._is_marked(event.tenant_id, _names_of(event))}
        for tenant_id, row_id, project_id, click_id in await _list_attributed(db, events):
            joined = [] if click_id is None else self._marks_of(tenant_id.bytes, [click_id.bytes])
            if joined or row_id.bytes in named:
                self._landed.of(tenant_id).conversions[row_id] = project_id
            for mark in joined:
                self._landed.notes.setdefault((tenant_id, mark.erasure_id), {})

    def _marks_of(self, tenant_id: bytes, keys: list[bytes]) -> list[_Mark]:
        marks: list[_Mark] = []
        for key in keys:
            marks += self._known.get(tenant_id + key, ())
            marks += self._found.get(tenant_id + key, ())
        return marks

    def _match(self, event: Event) -> bool:
        names = _names_of(event)
        keys = names
        if self._knows_visitors and not isinstance(event, Conversion):
            keys = [*names, self._visitor_key(event)]
        if not self._is_marked(event.tenant_id, keys):
            return False
        for mark in self._marks_of(event.tenant_id, keys):
            self._note(event, mark, {name: None for name in names if len(name) == ID_BYTES})
            if mark.tells_visitor and not isinstance(event, Conversion):
                self._knows_visitors = True
                day = date_of(int.from_bytes(event.id[:6], "big") // DAY_MS)
                self._note(event, mark, {self._visitor_key(event): day})
        self._landed.add(event)
        return True

    def _is_marked(self, tenant_id: bytes, keys: list[bytes]) -> bool:
        """Tell quickly what is true of nearly every event: that it is no concern of any erasure."""
        known, found = self._known, self._found
        for key in keys:
            full = tenant_id + key
            if full in known or full in found:
                return True
        return False

    def _note(self, event: Event, mark: _Mark, keys: dict[bytes, date | None]) -> None:
        notes = self._landed.notes.setdefault((UUID(bytes=event.tenant_id), mark.erasure_id), {})
        for key, day in keys.items():
            if key not in notes:
                notes[key] = day
                self._found.setdefault(event.tenant_id + key, []).append(_Mark(mark.erasure_id, False))

    def _visitor_key(self, event: Click | Visit | PageClick) -> bytes:
        salt = self._salts[int.from_bytes(event.id[:6], "big") // DAY_MS]
        return visitor_key(number_visitor(salt, event.tenant_id, event.ip, event.user_agent))


async def _forget(db: Connection, tenant_id: UUID, rows: Rows, now: datetime) -> None:
    """Forget in what landed just now: nobody else holds that, so nobody waits crosswise."""
    for ids in store.slices(rows.clicks):
        await store.forget_clicks(db, tenant_id, ids, landed_since=now)
    for ids in store.slices(rows.visits):
        await store.forget_visits(db, tenant_id, ids, landed_since=now)
    for ids in store.slices(rows.conversions):
        await store.forget_conversions(db, tenant_id, ids)


def _names_of(event: Event) -> list[bytes]:
    """Give the keys of what an event is called, and of the click and visit that it names."""
    if isinstance(event, Click):
        return [event.id]
    names = [word_key(event.click_id)] if event.click_id else []
    if isinstance(event, PageClick | Conversion) and event.visit_id:
        names.append(word_key(event.visit_id))
    if isinstance(event, PageClick):
        names += event.id, own_id(event.id)
    elif isinstance(event, Visit):
        names.append(event.id)
    return names


async def _list_attributed(
    db: Connection, events: list[Conversion]
) -> list[tuple[UUID, UUID, UUID, UUID | None]]:
    tenant_ids = [UUID(bytes=event.tenant_id) for event in events]
    return await store.list_attributed(db, tenant_ids, [UUID(bytes=event.id) for event in events])


async def _find_expired(db: Connection, batch: Batch, landed: _Landed) -> None:
    """Find what is older than its tenant lets visitors be known."""
    young_ms = _millis(batch.now) - SHORTEST_DAYS * DAY_MS
    is_on_time = all(day * DAY_MS >= young_ms for day in batch.days)
    events = batch.conversions if is_on_time else batch.events
    late = [event for event in events if int.from_bytes(event.id[:6], "big") < young_ms]
    if not late:
        return
    days_of = await store.find_retentions(db, {UUID(bytes=event.tenant_id) for event in late})
    if not days_of:
        return
    expired: list[Conversion] = []
    for event in late:
        days = days_of.get(UUID(bytes=event.tenant_id))
        if days is None:
            continue
        if isinstance(event, Conversion):
            days = max(days, KEPT_WITH_CONVERSIONS_DAYS)
        if event.id[:6] >= (_millis(batch.now - timedelta(days=days))).to_bytes(6, "big"):
            continue
        if isinstance(event, Conversion):
            expired.append(event)
        landed.add(event)
    for tenant_id, row_id, project_id, _click_id in await _list_attributed(db, expired):
        landed.of(tenant_id).conversions[row_id] = project_id


def _millis(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
