"""Stretches of time in query parameters, the same for every list of events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from control_plane.core.faults import Fault
from control_plane.core.ids import EPOCH
from control_plane.domains.clicks.model import EVER, FAR_FUTURE, Span

if TYPE_CHECKING:
    from msgspec import UnsetType

MILLISECOND: Final = timedelta(milliseconds=1)
"""The precision of an event's moment."""

DAY: Final = timedelta(days=1)
_BARE_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_span(
    first: str | UnsetType, last: str | UnsetType, names: tuple[str, str]
) -> tuple[Span, list[Fault]]:
    """Read two moments, both inclusive, to the millisecond: (span, faults).

    A date without a time, as the last one, includes that whole day. Moments without an offset are UTC.
    """
    faults: list[Fault] = []
    start = EPOCH if first is UNSET else _read_moment(names[0], first, faults)
    end = FAR_FUTURE if last is UNSET else _read_moment(names[1], last, faults)
    if start is None or end is None:
        return EVER, faults
    if isinstance(last, str) and _BARE_DATE.fullmatch(last) and end < FAR_FUTURE:
        end += DAY - MILLISECOND
    if UNSET not in {first, last} and start > end:
        faults.append(Fault(names[0], f"must not be after {names[1]} {last}", first))
    begin = min(FAR_FUTURE, max(EPOCH, start + (EPOCH - start) % MILLISECOND))
    until = min(FAR_FUTURE, end) if end >= FAR_FUTURE else end - (end - EPOCH) % MILLISECOND + MILLISECOND
    return Span(begin, max(begin, until)), faults


def _read_moment(field: str, text: str, faults: list[Fault]) -> datetime | None:
    """Read an ISO 8601 date or date-time as UTC; what is neither becomes a fault."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(Fault(field, "must be an ISO 8601 date or date-time", text))
        return None
