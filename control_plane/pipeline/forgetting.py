"""Forget, in the transaction that lands them, who made events that come late.

That is: what an erasure is about that was asked for meanwhile, and what is older than its tenant lets visitors
be known. Every landing asks what was newly noted, after its ledger has been written: whoever carries out an
erasure waits for those that asked too early (domains/privacy/forgetting.py). While there are no erasures, and
nothing is late, events are not looked at.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final
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
    from collections.abc import Iterator, Mapping
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
    """What of a batch is to be forgotten, by tenant, and what that adds to erasures."""

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
        self._marks: dict[bytes, list[_Mark]] = {}
        """(tenant, key of a subject) -> its erasures"""
        self._read_up_to = 0
        self._knows_visitors = False

    async def forget_landed(self, db: Connection, batch: Batch, salts: Mapping[int, bytes]) -> None:
        """Forget what must be of a batch whose rows were just written."""
        await self._learn(db)
        landed = _Landed()
        await _find_expired(db, batch, landed)
        if self._marks:
            await self._find_erased(db, batch, salts, landed)
        for tenant_id, rows in sorted(landed.rows.items()):
            # Only what landed just now: nobody else holds that, so nobody waits crosswise.
            for ids in store.slices(rows.clicks):
                await store.forget_clicks(db, tenant_id, ids, landed_since=batch.now)
            for ids in store.slices(rows.visits):
                await store.forget_visits(db, tenant_id, ids, landed_since=batch.now)
            for ids in store.slices(rows.conversions):
                await store.forget_conversions(db, tenant_id, ids)
        for (tenant_id, erasure_id), keys in sorted(landed.notes.items()):
            subjects = [NotedSubject(key=key, day=day) for key, day in sorted(keys.items())]
            await store.note_subjects(db, tenant_id, erasure_id, subjects, batch.now)
        if landed.notes:
            await store.make_due(db, landed.notes)

    async def _learn(self, db: Connection) -> None:
        for row in await store.list_new_subjects(db, self._read_up_to):
            key = row["tenant_id"].bytes + row["key"]
            mark = _Mark(row["erasure_id"], row["tells_visitor"])
            if mark not in (marks := self._marks.setdefault(key, [])):
                marks.append(mark)
            self._knows_visitors = self._knows_visitors or row["day"] is not None
            self._read_up_to = max(self._read_up_to, row["number"])

    async def _find_erased(
        self, db: Connection, batch: Batch, salts: Mapping[int, bytes], landed: _Landed
    ) -> None:
        for event in batch.events:
            names = list(_names_of(event))
            keys = [*names, visitor_key(_visitor_of(event, salts))] if self._sees_visitor(event) else names
            marks = [mark for key in keys for mark in self._marks.get(event.tenant_id + key, ())]
            if not marks:
                continue
            landed.add(event)
            tenant_id = UUID(bytes=event.tenant_id)
            for mark in marks:
                notes = landed.notes.setdefault((tenant_id, mark.erasure_id), {})
                notes.update(dict.fromkeys(name for name in names if len(name) == ID_BYTES))
                if mark.tells_visitor and not isinstance(event, Conversion):
                    day = date_of(int.from_bytes(event.id[:6], "big") // DAY_MS)
                    notes[visitor_key(_visitor_of(event, salts))] = day
        await self._find_conversions(db, batch, landed)

    def _sees_visitor(self, event: Event) -> bool:
        return self._knows_visitors and not isinstance(event, Conversion)

    async def _find_conversions(self, db: Connection, batch: Batch, landed: _Landed) -> None:
        """Find those that name what is erased, and those that were joined to it, as refunds are."""
        named = {
            event.id
            for event in batch.conversions
            if any(event.tenant_id + key in self._marks for key in _names_of(event))
        }
        for tenant_id, row_id, project_id, click_id in await _list_attributed(db, batch.conversions):
            marks = [] if click_id is None else self._marks.get(tenant_id.bytes + click_id.bytes, [])
            if marks or row_id.bytes in named:
                landed.of(tenant_id).conversions[row_id] = project_id
            for mark in marks:
                landed.notes.setdefault((tenant_id, mark.erasure_id), {})


def _names_of(event: Event) -> Iterator[bytes]:
    """Give the keys of what an event is called, and of the click and visit that it names."""
    if isinstance(event, Click | Visit):
        yield event.id
    elif isinstance(event, PageClick):
        yield event.id
        yield own_id(event.id)
    if not isinstance(event, Click) and event.click_id:
        yield word_key(event.click_id)
    if isinstance(event, PageClick | Conversion) and event.visit_id:
        yield word_key(event.visit_id)


def _visitor_of(event: Click | Visit | PageClick | Conversion, salts: Mapping[int, bytes]) -> int:
    assert not isinstance(event, Conversion)
    day = int.from_bytes(event.id[:6], "big") // DAY_MS
    return number_visitor(salts[day], event.tenant_id, event.ip, event.user_agent)


async def _list_attributed(db: Connection, events: list[Conversion]) -> list[Any]:
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
