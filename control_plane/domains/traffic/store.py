"""Write changes of sums."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.db.pool import load_queries
from control_plane.domains.traffic.model import Counts, Money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from control_plane.db.pool import Connection
    from control_plane.domains.traffic.changes import Changes
    from control_plane.domains.traffic.model import Subject

_queries = load_queries(Path(__file__).with_name("queries.sql"))

_COUNTS = Counts.__struct_fields__
_SPLIT_COUNTS = _COUNTS[: _COUNTS.index("page_clicks")]
_NOTHING = Counts()


async def write_changes(db: Connection, changes: Changes) -> None:
    """Write changes, in the transaction that writes the rows which they come from.

    Whoever writes rows and sums locks the rows first: sums are what everybody waits for.
    """
    if changes.campaigns:
        named = list(changes.campaigns.items())
        await _queries.add_campaigns(
            db,
            tenant_ids=[subject.tenant_id for subject, _ in named],
            ids=[subject.id for subject, _ in named],
            project_ids=[project_id for _, (project_id, _name) in named],
            names=[name for _, (_project_id, name) in named],
        )
    if totals := {key: count for key, count in changes.conversions.items() if count}:
        await _queries.add_to_conversions(
            db,
            tenant_ids=[key[0] for key in totals],
            link_ids=[key[1] for key in totals],
            variant_ids=[key[2] for key in totals],
            conversions=list(totals.values()),
        )
    if slots := [(key, counts) for key, counts in changes.slots.items() if counts != _NOTHING]:
        await _queries.add_to_slots(
            db,
            **_columns_of(subject for (subject, _slot), _ in slots),
            slots=[slot for (_, slot), _ in slots],
            **{name: [getattr(counts, name) for _, counts in slots] for name in _COUNTS},
        )
    if days := [(key, counts) for key, counts in changes.days.items() if _has_split(counts)]:
        await _queries.add_to_days(
            db,
            **_columns_of(subject for (subject, *_), _ in days),
            days=[day for (_, day, *_rest), _ in days],
            dimensions=[int(dimension) for (_, _day, dimension, _value), _ in days],
            values=[value for (*_rest, value), _ in days],
            **{name: [getattr(counts, name) for _, counts in days] for name in _SPLIT_COUNTS},
        )
    if revenue := [(key, money) for key, money in changes.revenue.items() if money != Money(money.currency)]:
        await _queries.add_to_revenue(
            db,
            **_columns_of(subject for (subject, *_), _ in revenue),
            dimensions=[int(dimension) for (_, dimension, *_rest), _ in revenue],
            slots=[slot for (_, _dimension, slot, *_rest), _ in revenue],
            values=[value for (*_rest, value, _currency), _ in revenue],
            currencies=[currency for (*_rest, currency), _ in revenue],
            sales=[money.sales for _, money in revenue],
            gross=[money.gross_minor for _, money in revenue],
            upsold=[money.upsold_minor for _, money in revenue],
            refunded=[money.refunded_minor for _, money in revenue],
            commission=[money.commission_minor for _, money in revenue],
        )


def _has_split(counts: Counts) -> bool:
    return any(getattr(counts, name) for name in _SPLIT_COUNTS)


def _columns_of(subjects: Iterable[Subject]) -> dict[str, list[Any]]:
    listed = list(subjects)
    return {
        "tenant_ids": [subject.tenant_id for subject in listed],
        "kinds": [int(subject.kind) for subject in listed],
        "subjects": [subject.id for subject in listed],
        "variant_ids": [subject.variant_id for subject in listed],
    }
