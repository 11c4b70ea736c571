"""What conversions add to the sums: by what they are now, less what they added before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.traffic.changes import subjects_of
from control_plane.domains.traffic.model import Counts, Money
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from control_plane.domains.conversions.model import ClickFacts, ConversionRow
    from control_plane.domains.traffic.changes import Changes

_NOTHING = Counts()


def find_root(rows: Mapping[uuid.UUID, ConversionRow], row: ConversionRow) -> ConversionRow | None:
    """Give the conversion with whose click `row` is counted; None while its target is not known."""
    while row.is_child:
        target = None if row.target_id is None else rows.get(row.target_id)
        if target is None:
            return None
        row = target
    return row


def add_effects(
    changes: Changes,
    rows: Mapping[uuid.UUID, ConversionRow],
    clicks: Mapping[uuid.UUID, ClickFacts],
    row: ConversionRow,
    *,
    sign: int,
) -> None:
    """Add what `row` counts for to `changes`, or take it away. `rows`: its targets are among them."""
    root = find_root(rows, row)
    if root is None or row.status == "rejected":
        return
    counts, money = _NOTHING, None
    match row.kind:
        case ConversionKind.CHECKOUT:
            counts = Counts(checkouts=1)
        case ConversionKind.SALE:
            counts = Counts(sales=1)
            if row.status == "completed":
                money = Money(row.currency, 1, row.amount_minor, 0, 0, row.commission_minor)
        case ConversionKind.UPSELL if is_effective(rows, row):
            money = Money(row.currency, 0, 0, row.amount_minor, 0, row.commission_minor)
        case ConversionKind.REFUND if is_effective(rows, row):
            money = Money(row.currency, 0, 0, 0, row.amount_minor)
    click = None if root.attributed_click is None else clicks.get(root.attributed_click)
    subjects = subjects_of(
        row.tenant_id,
        link=None if click is None else click.link,
        project_id=row.project_id,
        campaign=None if click is None else click.utm_campaign,
    )
    split = {} if click is None else click.split
    if counts != _NOTHING:
        changes.count(subjects, root.counted_at, split, counts, sign=sign)
    if money is not None:
        changes.pay(subjects, root.counted_at, split, money, sign=sign)


def is_effective(rows: Mapping[uuid.UUID, ConversionRow], row: ConversionRow) -> bool:
    """Tell whether a refund or upsell changes money: it and all its targets are completed."""
    while row.status == "completed":
        if not row.is_child:
            return True
        target = None if row.target_id is None else rows.get(row.target_id)
        if target is None:
            return False
        row = target
    return False
