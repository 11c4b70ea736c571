"""Sums of traffic and money, and the rows of what no sum covers."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from control_plane.core.ids import id_floor
from control_plane.db.pool import load_queries
from control_plane.domains.analytics.model import (
    CampaignFigures,
    Counts,
    Figures,
    Revenue,
    Totals,
)
from control_plane.domains.traffic.model import SubjectKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterable, Mapping, Sequence
    from datetime import date

    from control_plane.core.page import StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.analytics.model import Measure, Range, Topic
    from control_plane.domains.analytics.ranges import Cover
    from control_plane.domains.traffic.model import Dimension

S = TypeVar("S", bound=msgspec.Struct)

_queries = load_queries(Path(__file__).with_name("queries.sql"))


class RankedCounts(msgspec.Struct, frozen=True):
    """Counts of a value, or of all `values` that came after the first ones (`value` is None)."""

    value: str | None
    values: int
    counts: Counts


async def sum_by_variant(db: Connection, topic: Topic, span: Range) -> dict[uuid.UUID, Figures]:
    """Give the figures of each variant; projects and campaigns have one, the zero id."""
    facts = {**_keys(topic), "start": span.start, "until": span.until}
    totals = {row["variant_id"]: _read(Totals, row) async for row in _queries.sum_slots(db, **facts)}
    money = await _collect_money(_queries.sum_money(db, **facts), "variant_id")
    return {
        variant: Figures(totals.get(variant, Totals()), money.get(variant, []))
        for variant in sorted(totals.keys() | money.keys())
    }


async def sum_by_bucket(
    db: Connection, topic: Topic, span: Range, starts: Sequence[datetime]
) -> list[Figures]:
    """Give the figures from each of `starts` to the next; from the last, to the end of `span`."""
    facts = {**_keys(topic), "start": span.start, "until": span.until, "starts": list(starts)}
    totals = {row["bucket"]: _read(Totals, row) async for row in _queries.sum_slots_by_bucket(db, **facts)}
    money = await _collect_money(_queries.sum_money_by_bucket(db, **facts), "bucket")
    return [
        Figures(totals.get(number, Totals()), money.get(number, [])) for number in range(1, len(starts) + 1)
    ]


async def rank_values(  # noqa: PLR0913  whose, by what, when, and how many of them
    db: Connection, topic: Topic, dimension: Dimension, cover: Cover, *, sort: Measure, limit: int
) -> list[RankedCounts]:
    """Give the first `limit` values by a measure, in their order, and then all others as one."""
    facts = {
        **_keys(topic),
        "dimension": dimension,
        "first_day": cover.first_day,
        "end_day": cover.end_day,
        "lows": [id_floor(piece.start) for piece in cover.pieces],
        "highs": [id_floor(piece.until) for piece in cover.pieces],
        "signs": [piece.sign for piece in cover.pieces],
        "sort": sort,
        "limit": limit,
    }
    rows = _queries.break_down(db, **facts, **_filters(topic))
    return [RankedCounts(row["value"], row["values"], _read(Counts, row)) async for row in rows]


async def sum_money_of_values(
    db: Connection, topic: Topic, dimension: Dimension, cover: Cover, values: Sequence[str]
) -> dict[str | None, list[Revenue]]:
    """Give the money of each of `values`, and under None that of all others, by currency."""
    facts = {
        **_keys(topic),
        "dimension": dimension,
        "first_day": _midnight(cover.first_day),
        "end_day": _midnight(cover.end_day),
        "starts": [piece.start for piece in cover.pieces],
        "untils": [piece.until for piece in cover.pieces],
        "signs": [piece.sign for piece in cover.pieces],
        "values": list(values),
    }
    rows = _queries.break_down_money(db, **facts, **_filters(topic))
    return await _collect_money(rows, "value")


async def list_variants(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Give the labels of the variants that a link has, in their order, and of those that it had."""
    rows = _queries.list_variants(db, tenant_id=tenant_id, link_id=link_id)
    return {row["id"]: row["label"] async for row in rows}


async def fetch_campaign(
    db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID, campaign_id: uuid.UUID
) -> str | None:
    """Give the name of a campaign; None where the project has none of that id."""
    name: str | None = await _queries.fetch_campaign(
        db, tenant_id=tenant_id, project_id=project_id, campaign_id=campaign_id
    )
    return name


async def count_campaigns(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> int:
    """Count the campaigns of a project."""
    total: int = await _queries.count_campaigns(db, tenant_id=tenant_id, project_id=project_id)
    return total


async def find_campaigns(
    db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID, request: StretchRequest
) -> list[uuid.UUID]:
    """Find the ids of a stretch of campaigns by name: what is newer for core/page.py precedes here."""
    keys = {"tenant_id": tenant_id, "project_id": project_id, "limit": request.limit}
    if request.newer_than is not None:
        rows = _queries.find_preceding_campaigns(db, campaign_id=request.newer_than, **keys)
    else:
        rows = _queries.find_following_campaigns(
            db, campaign_id=request.older_than, offset=request.offset, **keys
        )
    return [row["id"] async for row in rows]


async def sum_campaigns(
    db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID], span: Range
) -> dict[uuid.UUID, CampaignFigures]:
    """Give campaigns with their figures in `span`."""
    facts = {"tenant_id": tenant_id, "ids": ids, "start": span.start, "until": span.until}
    money = await _collect_money(_queries.sum_money_of_campaigns(db, **facts), "subject")
    return {
        row["id"]: CampaignFigures(
            row["id"], row["name"], Figures(_read(Totals, row), money.get(row["id"], []))
        )
        async for row in _queries.sum_slots_of_campaigns(db, **facts)
    }


async def _collect_money(rows: AsyncIterable[Mapping[str, Any]], key: str) -> dict[Any, list[Revenue]]:
    """Gather money by one of its columns; what was taken back altogether is left out."""
    money: dict[Any, list[Revenue]] = {}
    async for row in rows:
        revenue = _read(Revenue, row)
        if not revenue.is_nothing:
            money.setdefault(row[key], []).append(revenue)
    return money


def _keys(topic: Topic) -> dict[str, Any]:
    return {"tenant_id": topic.tenant_id, "subject_kind": topic.kind, "subject": topic.id}


def _filters(topic: Topic) -> dict[str, Any]:
    """Say which rows the sums of a subject are of; None filters nothing. See `plan_each_time`."""
    link_id = topic.id if topic.kind is SubjectKind.LINK else None
    return {"link_id": link_id, "project_id": topic.project_id, "campaign": topic.campaign}


def _read(shape: type[S], row: Mapping[str, Any]) -> S:
    """Build a struct from the columns of a row that it has fields for."""
    return shape(**{name: row[name] for name in shape.__struct_fields__})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
