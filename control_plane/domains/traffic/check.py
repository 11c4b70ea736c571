"""Compare every sum with the rows that it is of."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("check.sql"))


class Disagreement(msgspec.Struct, frozen=True):
    """A sum that its rows do not bear out.

    `sums`: the table. `stored`, `counted`: what it holds and what the rows say, None where there is nothing.
    """

    sums: str
    subject: uuid.UUID | None
    variant_id: uuid.UUID | None
    slot: datetime | None
    stored: Any
    counted: Any


async def find_disagreements(db: Connection) -> AsyncIterator[Disagreement]:
    """Look through all of it. `db`: the owner's, in a transaction with one snapshot.

    Sums outlive the rows of clicks and visits that retention has dropped: those are given too.
    """
    for compare in (
        _queries.compare_totals,
        _queries.compare_slots,
        _queries.compare_days,
        _queries.compare_money,
        _queries.compare_checkouts,
        _queries.compare_targets,
        _queries.compare_marks,
    ):
        async for row in compare(db):
            yield Disagreement(**row)
