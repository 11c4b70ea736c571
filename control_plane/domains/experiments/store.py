"""Rows of experiments: what links say of them, what clicks and conversions come to, and decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.ids import id_floor, id_time
from control_plane.db.pool import load_queries
from control_plane.domains.experiments.model import Candidate, Counts, Decision, Setup
from control_plane.domains.experiments.statistics import FIRST_SALES, Moments

if TYPE_CHECKING:
    import uuid
    from datetime import datetime, timedelta

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection

LinkKey = tuple["uuid.UUID", "uuid.UUID"]
"""(tenant_id, link_id)"""

SECOND_MS: Final = 1000

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def list_due(db: Connection, now: datetime, limit: int) -> list[LinkKey]:
    """List links whose experiment is to be looked at, of all tenants, the most overdue first."""
    return [tuple(row) async for row in _queries.list_due(db, now=now, limit=limit)]


async def list_reviews_due(
    db: Connection, cutoff: datetime, oldest: datetime, limit: int
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List (tenant id, link id) of winners of the rule that were not reviewed since `cutoff`."""
    rows = _queries.list_reviews_due(db, cutoff=cutoff, oldest=oldest, limit=limit)
    return [(row["tenant_id"], row["link_id"]) async for row in rows]


async def fetch_setup(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> Setup | None:
    """Find the experiment that a link is; None for one that is deleted, or never was."""
    row = await _queries.fetch_setup(db, tenant_id=tenant_id, link_id=link_id)
    if row is None:
        return None
    rows = _queries.list_variants(db, tenant_id=tenant_id, link_id=link_id)
    return Setup(**row, variants=tuple([Candidate(**variant) async for variant in rows]))


async def count(  # noqa: PLR0913  which clicks, and how long sales and their changes count
    db: Connection,
    setup: Setup,
    since: datetime,
    until: datetime,
    *,
    sale_window: timedelta | None,
    change_window: timedelta | None,
) -> Counts:
    """Count an experiment's trials between two moments, and what came of them.

    Windows: how long after its click a sale counts, and a refund or upsell; None: for ever.
    """
    key: dict[str, Any] = {"tenant_id": setup.tenant_id, "link_id": setup.link_id}
    key |= {"version": setup.experiment_version, "low": id_floor(since)}
    high = id_floor(until)
    trials = {row["variant_id"]: row["trials"] async for row in _queries.count_trials(db, **key, high=high)}
    first_trial_at = setup.first_trial_at
    if first_trial_at is None and trials:
        first_trial_at = id_time(await _queries.find_first_trial(db, **key))
    found = await _queries.count_outcomes(
        db,
        **key,
        high=high,
        sale_window=_millis(sale_window),
        change_window=_millis(change_window),
        first_sales=FIRST_SALES,
    )
    columns = (found[name] for name in ("variant_ids", "conversions", "totals", "squares"))
    sold = {one: numbers for one, *numbers in zip(*columns, strict=True)}
    outcomes = [(variant.id, sold.get(variant.id, [0, 0, 0])) for variant in setup.compared]
    return Counts(
        counted_until=until,
        first_trial_at=first_trial_at,
        young=await _queries.count_young_trials(db, **(key | {"low": high})),
        trials=tuple(trials.get(variant.id, 0) for variant in setup.compared),
        conversions=tuple(int(numbers[0]) for _, numbers in outcomes),
        revenue=tuple(
            Moments(trials.get(one, 0), int(total), int(squares)) for one, (_, total, squares) in outcomes
        ),
        unit=found["unit"],
        currencies=tuple(found["currencies"]),
    )


async def has_news(db: Connection, setup: Setup, until: datetime, sold_since: datetime) -> bool:
    """Tell whether clicks have come of age since the last look, or conversions have come in."""
    assert setup.counted_until is not None
    news: bool = await _queries.has_news(
        db,
        tenant_id=setup.tenant_id,
        link_id=setup.link_id,
        low=id_floor(setup.counted_until),
        high=id_floor(until),
        sold_since=id_floor(sold_since),
    )
    return news


async def put_look(  # noqa: PLR0913  one argument per column
    db: Connection,
    setup: Setup,
    *,
    looked_at: datetime,
    counted_until: datetime,
    first_trial_at: datetime | None,
    next_look_at: datetime,
) -> None:
    """Write down when an experiment was looked at, and when it is to be again."""
    await _queries.put_look(
        db,
        tenant_id=setup.tenant_id,
        link_id=setup.link_id,
        experiment_version=setup.experiment_version,
        looked_at=looked_at,
        counted_until=counted_until,
        first_trial_at=first_trial_at,
        next_look_at=next_look_at,
    )


async def put_off(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, now: datetime, next_look_at: datetime
) -> None:
    """Have an experiment that could not be looked at looked at later."""
    await _queries.put_off(db, tenant_id=tenant_id, link_id=link_id, now=now, next_look_at=next_look_at)


async def lock_link(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> bool:
    """Keep others from changing a link until the transaction ends. Answers whether there is one."""
    return await _queries.lock_link(db, tenant_id=tenant_id, link_id=link_id) is not None


async def mark_winner(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, variant_id: uuid.UUID, now: datetime
) -> int:
    """Send all visitors to a variant, with the link's next version; give that."""
    await _queries.mark_winner(db, tenant_id=tenant_id, link_id=link_id, variant_id=variant_id)
    version: int = await _queries.raise_version(db, tenant_id=tenant_id, link_id=link_id, now=now)
    return version


async def clear_winner(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> None:
    """Take the mark of the winner off."""
    await _queries.clear_winner(db, tenant_id=tenant_id, link_id=link_id)


async def begin_anew(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, now: datetime) -> int:
    """Begin a new experiment with the link's next version; give that."""
    version: int = await _queries.begin_anew(db, tenant_id=tenant_id, link_id=link_id, now=now)
    return version


async def insert_decision(db: Connection, tenant_id: uuid.UUID, decision: Decision) -> None:
    """Add a decision."""
    columns = msgspec.structs.asdict(decision)
    for name in ("review", "reviewed_at", "reverted_at", "reverted_by"):
        del columns[name]
    await _queries.insert_decision(db, tenant_id=tenant_id, **columns)


async def fetch_decision(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, experiment_version: int
) -> Decision | None:
    """Find what was decided of an experiment."""
    row = await _queries.fetch_decision(
        db, tenant_id=tenant_id, link_id=link_id, experiment_version=experiment_version
    )
    return None if row is None else Decision(**row)


async def list_decisions(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, page: PageRequest
) -> tuple[list[Decision], int]:
    """List one page of a link's decisions, newest first, and count all."""
    total: int = await _queries.count_decisions(db, tenant_id=tenant_id, link_id=link_id)
    rows = _queries.list_decisions(
        db, tenant_id=tenant_id, link_id=link_id, limit=page.per_page, offset=page.offset
    )
    return [Decision(**row) async for row in rows], total


async def end_decision(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> None:
    """Write down that the decision in force is taken back."""
    await _queries.end_decision(db, tenant_id=tenant_id, link_id=link_id, user_id=user_id, now=now)


async def put_review(
    db: Connection, tenant_id: uuid.UUID, decision_id: uuid.UUID, review: dict[str, Any] | None, now: datetime
) -> None:
    """Write down what a later look at the data of a decision found; None: they bear it out."""
    await _queries.put_review(db, tenant_id=tenant_id, id=decision_id, now=now, review=review)


def _millis(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds() * SECOND_MS)
