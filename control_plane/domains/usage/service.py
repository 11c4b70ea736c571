"""Tell what a tenant used, and what is left to it today."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.usage import store
from control_plane.domains.usage.model import RenderAllowance

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from datetime import date, datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.usage.model import UsageDay

LONGEST_SPAN: Final = 366
USUAL_SPAN: Final = 30
"""Days that are reported, up to today, where nobody says which."""

YEARS: Final = range(2000, 3000)
"""Far from both ends of the calendar, so that days can be added and taken off."""

UNLIMITED: Final = 2**31 - 1
"""What stands for "as many as you like" in a field that must be an integer: the largest of 32 bits."""

DAYS_PER_MONTH: Final = 30


async def list_days(
    db: Connection, tenant_id: uuid.UUID, first: date | None, last: date | None, now: datetime
) -> list[UsageDay]:
    """List every day of a span, ends included. Raises Invalid when that is none, or too long."""
    if faults := [
        Fault(field, f"must be a day of the years {YEARS[0]} to {YEARS[-1]}", day)
        for field, day in (("from", first), ("to", last))
        if day is not None and day.year not in YEARS
    ]:
        raise Invalid(faults)
    if first is None or last is None:
        last = last or (now.astimezone(UTC).date() if first is None else first + timedelta(USUAL_SPAN - 1))
        first = first or last - timedelta(USUAL_SPAN - 1)
    if last < first:
        raise Invalid([Fault("to", f"must not lie before from ({first})", last)])
    if (last - first).days >= LONGEST_SPAN:
        raise Invalid([Fault("to", f"must lie within {LONGEST_SPAN} days of from ({first})", last)])
    return await store.list_days(db, tenant_id, first, last)


async def fetch_allowances(
    db: Connection, tenant_ids: Iterable[uuid.UUID], now: datetime
) -> dict[uuid.UUID, RenderAllowance]:
    """Tell for each tenant how many redirects it has a day, and how many are left today."""
    day_start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = await store.list_allowances(db, set(tenant_ids), day_start)
    return {
        tenant_id: _allow(row["monthly_render_qty"], row["redirects_today"], row["parallel_renders"])
        for tenant_id, row in rows.items()
    }


async def fetch_allowance(db: Connection, tenant_id: uuid.UUID, now: datetime) -> RenderAllowance:
    """Tell how many redirects a tenant, which must be there, has a day, and how many are left today."""
    return (await fetch_allowances(db, [tenant_id], now))[tenant_id]


def _allow(monthly: int | None, used_today: int, at_once: int) -> RenderAllowance:
    if monthly is None:
        return RenderAllowance(per_day=UNLIMITED, left_today=UNLIMITED, at_once=at_once)
    # Rounded up: whoever has one redirect a month has it on some day.
    per_day = -(-monthly // DAYS_PER_MONTH)
    return RenderAllowance(per_day=per_day, left_today=max(0, per_day - used_today), at_once=at_once)
