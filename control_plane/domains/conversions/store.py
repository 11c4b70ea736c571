"""Rows of conversions, and of the clicks and visits that they name."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from control_plane.core.ids import id_floor
from control_plane.db.pool import load_queries
from control_plane.domains.conversions.model import ClickFacts, ConversionRow, ListedConversion, Marks
from control_plane.domains.traffic.changes import split_row
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from control_plane.core.page import StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.clicks.model import Span

Key: TypeAlias = tuple[uuid.UUID, uuid.UUID]
"""(tenant, id)"""

WordKey: TypeAlias = tuple[uuid.UUID, uuid.UUID, str]
"""(tenant, project, word)"""

ExternalKey: TypeAlias = tuple[uuid.UUID, uuid.UUID, ConversionKind, str]
"""(tenant, project, kind, external id): what is counted once."""


class Named(msgspec.Struct, frozen=True):
    """A conversion or click with what others call it. `project_id`: None for clicks of no project."""

    id: uuid.UUID
    project_id: uuid.UUID | None
    name: str | None


class ReportedProject(msgspec.Struct, frozen=True):
    """What reports need to know of their project."""

    id: uuid.UUID
    status: str
    currency: str


_COLUMNS: Final = ConversionRow.__struct_fields__
_INT64: Final = 1 << 63
_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def lock_projects(db: Connection, projects: Iterable[Key]) -> None:
    """Hold the conversions of these projects until the transaction ends."""
    keys = [project_id.int % (2 * _INT64) - _INT64 for _tenant_id, project_id in projects]
    await _queries.lock_projects(db, keys=keys)


async def list_projects(db: Connection, projects: Iterable[Key]) -> set[Key]:
    """Give those of these projects that there are."""
    tenant_ids, ids = _columns(projects)
    rows = _queries.list_projects(db, tenant_ids=tenant_ids, project_ids=ids)
    return {(row["tenant_id"], row["id"]) async for row in rows}


async def find_reported_projects(
    db: Connection, tenant_id: uuid.UUID, ids: Iterable[uuid.UUID]
) -> list[ReportedProject]:
    """Find those of a tenant's projects that are named."""
    rows = _queries.find_reported_projects(db, tenant_id=tenant_id, ids=list(ids))
    return [ReportedProject(**row) async for row in rows]


async def find_first_projects(db: Connection, tenant_id: uuid.UUID, limit: int) -> list[ReportedProject]:
    """Find a tenant's oldest projects."""
    rows = _queries.find_first_projects(db, tenant_id=tenant_id, limit=limit)
    return [ReportedProject(**row) async for row in rows]


async def insert_rows(db: Connection, rows: Iterable[ConversionRow], now: datetime) -> set[uuid.UUID]:
    """Insert rows; give the ids of those that were not there yet."""
    values = [msgspec.to_builtins(row) | {"landed_at": now.isoformat()} for row in rows]
    return {row["id"] async for row in _queries.insert_rows(db, rows=values)}


async def update_rows(db: Connection, rows: Iterable[ConversionRow], now: datetime) -> None:
    """Write what may change of rows."""
    await _queries.update_rows(db, rows=[msgspec.to_builtins(row) for row in rows], now=now)


async def find_by_external_ids(db: Connection, keys: Iterable[ExternalKey]) -> list[ConversionRow]:
    """Find rows by what their reporters call them."""
    tenant_ids, project_ids, kinds, external_ids = _columns(keys, 4)
    rows = _queries.find_by_external_ids(
        db, tenant_ids=tenant_ids, project_ids=project_ids, kinds=kinds, external_ids=external_ids
    )
    return [_read_row(row) async for row in rows]


async def find_by_ids(db: Connection, keys: Iterable[Key]) -> list[ConversionRow]:
    """Find rows by their ids."""
    tenant_ids, ids = _columns(keys)
    return [_read_row(row) async for row in _queries.find_by_ids(db, tenant_ids=tenant_ids, ids=ids)]


async def find_children(db: Connection, keys: Iterable[Key]) -> list[ConversionRow]:
    """Find what has these rows as its target."""
    tenant_ids, ids = _columns(keys)
    rows = _queries.find_children(db, tenant_ids=tenant_ids, target_ids=ids)
    return [_read_row(row) async for row in rows]


async def find_waiting(db: Connection, words: Iterable[WordKey]) -> list[ConversionRow]:
    """Find what names a sale or upsell by one of these words, and has not found it."""
    tenant_ids, project_ids, texts = _columns(words, 3)
    rows = _queries.find_waiting(db, tenant_ids=tenant_ids, project_ids=project_ids, words=texts)
    return [_read_row(row) async for row in rows]


async def find_clicks(db: Connection, keys: Iterable[Key]) -> list[ClickFacts]:
    """Find clicks by their ids."""
    tenant_ids, ids = _columns(keys)
    return [
        ClickFacts(
            id=row["id"],
            link_id=row["link_id"],
            variant_id=row["variant_id"],
            project_id=row["project_id"],
            visit_id=row["visit_id"],
            utm_campaign=row["utm_campaign"],
            is_bot=row["is_bot"],
            split=split_row(row),
        )
        async for row in _queries.find_clicks(db, tenant_ids=tenant_ids, ids=ids)
    ]


async def find_clicks_by_word(
    db: Connection, words: Iterable[tuple[uuid.UUID, str]]
) -> dict[tuple[uuid.UUID, str], uuid.UUID]:
    """Find clicks by what others call them: ids by (tenant, word)."""
    tenant_ids, texts = _columns(words)
    rows = _queries.find_clicks_by_word(db, tenant_ids=tenant_ids, words=texts)
    return {(row["tenant_id"], row["word"]): row["id"] async for row in rows}


async def find_visits(db: Connection, keys: Iterable[Key]) -> dict[Key, str | None]:
    """Find visits: the word for the click that led to each."""
    tenant_ids, ids = _columns(keys)
    rows = _queries.find_visits(db, tenant_ids=tenant_ids, ids=ids)
    return {(row["tenant_id"], row["id"]): row["click_id"] async for row in rows}


async def lock_clicks(db: Connection, keys: Iterable[Key]) -> dict[Key, Marks]:
    """Hold clicks, and tell what they are marked as."""
    tenant_ids, ids = _columns(keys)
    rows = _queries.lock_clicks(db, tenant_ids=tenant_ids, ids=ids)
    return {(row["tenant_id"], row["id"]): Marks(row["is_conversion"], row["is_bot"]) async for row in rows}


async def list_converted(db: Connection, keys: Iterable[Key]) -> set[Key]:
    """Give those of these clicks that brought a sale which was not rejected."""
    tenant_ids, ids = _columns(keys)
    rows = _queries.list_converted(db, tenant_ids=tenant_ids, ids=ids)
    return {(row["tenant_id"], row["id"]) async for row in rows}


async def mark_clicks(db: Connection, marks: dict[Key, bool]) -> None:
    """Mark clicks as conversions, or as none."""
    tenant_ids, ids = _columns(marks)
    await _queries.mark_clicks(db, tenant_ids=tenant_ids, ids=ids, are_conversions=list(marks.values()))


async def list_due(db: Connection, now: datetime, limit: int) -> list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]]:
    """List waiting conversions that are to be looked at again: (tenant, project, id)."""
    return [tuple(row) async for row in _queries.claim_waiting(db, now=now, limit=limit)]


async def count_listed(db: Connection, span: Span, filters: dict[str, Any]) -> int:
    """Count conversions one by one. `filters`: parameters of the lists' queries."""
    low, high = id_floor(span.start), id_floor(span.until)
    total: int = await _queries.count_listed(db, low=low, high=high, **filters)
    return total


async def find_listed(
    db: Connection, span: Span, filters: dict[str, Any], request: StretchRequest
) -> list[uuid.UUID]:
    """Find the ids of a stretch of conversions, as core/page.py wants them."""
    low, high = request.narrow(id_floor(span.start), id_floor(span.until))
    common = {"low": low, "high": high, "limit": request.limit, **filters}
    if request.newer_than is not None:
        rows = _queries.find_newer(db, **common)
    else:
        rows = _queries.find_older(db, **common, offset=request.offset)
    return [row["id"] async for row in rows]


async def fetch_listed(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind, ids: list[uuid.UUID]
) -> dict[uuid.UUID, ListedConversion]:
    """Read conversions of a kind by their ids."""
    rows = _queries.fetch_listed(db, tenant_id=tenant_id, kind=kind, ids=ids)
    return {row["id"]: ListedConversion(**row) async for row in rows}


async def find_named(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind | None, name: str, thing_id: uuid.UUID | None
) -> list[Named]:
    """Find what has either of these ids: conversions of a kind, or clicks (None)."""
    if kind is None:
        rows = _queries.find_named_clicks(db, tenant_id=tenant_id, name=name, id=thing_id)
    else:
        rows = _queries.find_named_conversions(db, tenant_id=tenant_id, kind=kind, name=name, id=thing_id)
    return [Named(**row) async for row in rows]


def _columns(keys: Iterable[tuple[Any, ...]], width: int = 2) -> tuple[list[Any], ...]:
    listed = list(keys)
    return tuple([key[position] for key in listed] for position in range(width))


def _read_row(row: Any) -> ConversionRow:
    values = {name: row[name] for name in _COLUMNS}
    return ConversionRow(**values | {"kind": ConversionKind(values["kind"])})
