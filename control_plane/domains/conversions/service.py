"""Read checkouts, sales, refunds and upsells, take them in, and join what arrives in any order.

Whoever calls writes `changes` (traffic.store.write_changes) at the end of the same transaction: sums are what
transactions wait for each other for, so they are written once and last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core.page import cut_keys
from control_plane.db.pool import plan_each_time
from control_plane.domains.conversions import store
from control_plane.domains.conversions.errors import ConversionNotFound
from control_plane.domains.conversions.filters import resolve_filters
from control_plane.domains.conversions.joining import Workbook
from control_plane.domains.conversions.model import (
    STATUSES,
    ConversionRow,
    Landed,
    Outcome,
    is_readable,
    make_row,
)
from control_plane.domains.traffic.changes import Changes
from control_plane.domains.traffic.store import write_changes

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime

    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.conversions.model import ConversionFilter, ListedConversion
    from control_plane.domains.conversions.store import ExternalKey
    from edge.contract.events import Conversion, ConversionKind

JOINED_AT_ONCE: Final = 500
"""Waiting conversions that are looked at in one transaction."""


async def list_conversions(
    db: Connection,
    tenant_id: uuid.UUID,
    kind: ConversionKind,
    wanted: ConversionFilter,
    request: StretchRequest,
) -> Stretch[ListedConversion]:
    """List a tenant's conversions of a kind, newest first. `db`: in a transaction with one snapshot."""
    await plan_each_time(db)
    filters = await resolve_filters(db, tenant_id, kind, wanted)
    total = await store.count_listed(db, wanted.span, filters)
    keys: list[uuid.UUID] = []
    if request.offset < total:
        keys = await store.find_listed(db, wanted.span, filters, request)
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await store.fetch_listed(db, tenant_id, kind, stretch.items))


async def fetch_conversion(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind, conversion_id: uuid.UUID
) -> ListedConversion:
    """Find a conversion of a kind by its id. Raises ConversionNotFound."""
    found = await store.fetch_listed(db, tenant_id, kind, [conversion_id])
    if conversion_id not in found:
        raise ConversionNotFound(kind)
    return found[conversion_id]


async def land(db: Connection, events: Sequence[Conversion], changes: Changes, now: datetime) -> list[Landed]:
    """Take in reports: each (project, kind, external id) once. Gives what became of each, in their order.

    A repeated report may move the status on (STATUSES); all else that it says anew is passed over.
    """
    rows = [make_row(event) if is_readable(event) else None for event in events]
    projects = {(row.tenant_id, row.project_id) for row in rows if row is not None}
    known = await store.list_projects(db, projects)
    await store.lock_projects(db, known)
    first: dict[ExternalKey, ConversionRow] = {}
    for row in rows:
        if row is not None and (row.tenant_id, row.project_id) in known:
            first.setdefault(_key_of(row), row)
    inserted = await store.insert_rows(db, first.values(), now) if first else set()
    repeated = [key for key, row in first.items() if row.id not in inserted]
    found = await store.find_by_external_ids(db, repeated) if repeated else []
    created = [row for row in first.values() if row.id in inserted]
    kept_rows = {_key_of(row): row for row in (*created, *found)}
    book = Workbook(db, changes, now)
    await book.take(created, new=True)
    await book.take(found)
    await book.settle(created)
    landed = []
    for event, row in zip(events, rows, strict=True):
        if row is None or (kept := kept_rows.get(_key_of(row))) is None:
            is_known = row is None or (row.tenant_id, row.project_id) in known
            outcome = Outcome.UNREADABLE if is_known else Outcome.UNKNOWN_PROJECT
            landed.append(Landed(event, outcome, None))
            continue
        kept = book.rows[kept.id]
        is_first = row.id == kept.id
        if not is_first:
            _move_status(book, kept, row.status)
        landed.append(Landed(event, Outcome.CREATED if is_first else Outcome.EXISTING, kept))
    await book.save()
    return landed


async def join_waiting(pool: Pool, now: datetime) -> int:
    """Look again for what conversions wait for, as far as it is due; give the number of those looked at."""
    async with pool.acquire() as db, db.transaction():
        due = await store.list_due(db, now, JOINED_AT_ONCE)
        if not due:
            return 0
        await store.lock_projects(db, {(tenant_id, project_id) for tenant_id, project_id, _id in due})
        # Read under the lock: who held it before may have joined them.
        rows = await store.find_by_ids(db, [(tenant_id, row_id) for tenant_id, _project, row_id in due])
        waiting = [row for row in rows if row.waits_for is not None]
        changes = Changes()
        book = Workbook(db, changes, now)
        await book.take(waiting)
        for row in waiting:
            row.looks += 1
            row.wait_no_more()
        await book.settle(waiting)
        await book.save()
        await write_changes(db, changes)
    return len(due)


def _move_status(book: Workbook, row: ConversionRow, status: str) -> None:
    if STATUSES.index(status) <= STATUSES.index(row.status):
        return
    if row.is_child and row.status == "completed":
        book.take_back(row)
    row.status = status
    if row.is_child and status == "completed":
        book.apply(row)


def _key_of(row: ConversionRow) -> ExternalKey:
    return (row.tenant_id, row.project_id, row.kind, row.external_id)
