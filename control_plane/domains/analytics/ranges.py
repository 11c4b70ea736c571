"""Stretches of time as people ask for them: in their time zone, cut into hours, days, weeks or months.

Sums are kept by quarter of an hour and by day (UTC). Every time zone's hours and days begin with a
quarter since 1972, so what lies on quarters can be answered exactly in any of them.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import EPOCH
from control_plane.domains.analytics.model import Interval, Range

QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
DEFAULT_DAYS: Final = 30
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
MOST_DAYS: Final = 1100
"""Three years, to the longest: a year of quarters is 35,000 rows of sums."""
MOST_BUCKETS: Final = 2400
"""A hundred days by hour."""

_BARE_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_BAD_MOMENT: Final = "must be an ISO 8601 date or date-time"


class Piece(msgspec.Struct, frozen=True):
    """A stretch whose rows are read. `sign`: 1 to add them, -1 to take them off again."""

    start: datetime
    until: datetime
    sign: int


class Cover(msgspec.Struct, frozen=True):
    """A range as whole days (UTC), without `end_day`, and what is to be added or taken off."""

    first_day: date
    end_day: date
    pieces: list[Piece]


def settle_range(
    start: str | None, until: str | None, timezone: str, now: datetime
) -> tuple[Range, list[Fault]]:
    """Read `from`, `to` and `timezone`: (range, faults). With faults, the range means nothing.

    A date means its whole day; a date-time without offset is one of the zone. Left out: the last 30 days.
    """
    faults: list[Fault] = []
    zone = find_zone(timezone)
    if zone is None:
        faults.append(
            Fault("timezone", "must be a time zone as IANA names it, such as Europe/Berlin", timezone)
        )
        zone = ZoneInfo("UTC")
    end = find_day_start(now.astimezone(zone).date() + DAY, zone)
    if until is not None:
        end = _read_moment("to", until, zone, faults, whole_day=True) or end
    last_day = (end - QUARTER).astimezone(zone).date()
    begin = find_day_start(last_day - (DEFAULT_DAYS - 1) * DAY, zone)
    if start is not None:
        begin = _read_moment("from", start, zone, faults, whole_day=False) or begin
    if not faults and begin >= end:
        faults.append(Fault("from", f"must be before the end of the range, {_show(end, zone)}", start))
    if not faults and end - begin > MOST_DAYS * DAY:
        faults.append(
            Fault("from", f"must be at most {MOST_DAYS} days before its end, {_show(end, zone)}", start)
        )
    return Range(begin, end, zone), faults


def find_zone(name: str) -> ZoneInfo | None:
    """Give the time zone of a name of IANA; None for what is none."""
    return ZoneInfo(name) if name in _list_zones() else None


@lru_cache(maxsize=1)
def _list_zones() -> frozenset[str]:
    """List the zones that may be asked for. A look at the names, since names are paths of files."""
    return frozenset(zoneinfo.available_timezones())


def find_day_start(day: date, zone: ZoneInfo) -> datetime:
    """Give the moment (UTC) at which a day begins: midnight, or where clocks skip it, what follows."""
    midnight = datetime.combine(day, time(), zone)
    start = midnight.astimezone(UTC)
    if start.astimezone(zone).date() == day and start.astimezone(zone).time() == time():
        return start
    moment = midnight.replace(fold=1).astimezone(UTC)
    while moment.astimezone(zone).date() < day:
        moment += QUARTER
    return moment


def cut_range(span: Range, interval: Interval) -> list[datetime]:
    """Give the moments (UTC) at which the range's buckets begin; the first is its own start.

    Buckets are the hours, days, weeks (from Monday) and months of the zone; the first and the last are
    cut off where the range is. Raises Invalid for more than MOST_BUCKETS.
    """
    if interval == "hour" and span.until - span.start > MOST_BUCKETS * HOUR:
        raise Invalid(
            [
                Fault(
                    "interval",
                    f"must cut the range into at most {MOST_BUCKETS} buckets (by hour: "
                    f"{MOST_BUCKETS // 24} days)",
                    interval,
                )
            ]
        )
    starts = [span.start]
    while (following := _find_next(starts[-1], interval, span.zone)) < span.until:
        starts.append(following)
    return starts


def _find_next(moment: datetime, interval: Interval, zone: ZoneInfo) -> datetime:
    """Give the moment (UTC) after `moment` at which the next bucket begins."""
    local = moment.astimezone(zone)
    if interval == "hour":
        return moment + HOUR - timedelta(minutes=local.minute)
    day = local.date()
    while True:
        day = _find_next_day(day, interval)
        following = find_day_start(day, zone)
        if following > moment:
            return following


def _find_next_day(day: date, interval: Interval) -> date:
    """Give the first day of the day, week or month after that of `day`."""
    match interval:
        case "week":
            return day + timedelta(days=7 - day.weekday())
        case "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + DAY


def cover_days(span: Range) -> Cover:
    """Cover a range with whole days (UTC), so that as few rows as may be are left to read.

    Either end goes to the nearest midnight; what was left out is added, what is too much taken off.
    A range that is shorter than all that is read as it is.
    """
    first, end = _round_to_day(span.start), _round_to_day(span.until)
    pieces = [
        Piece(min(a, b), max(a, b), 1 if a < b else -1)
        for a, b in ((span.start, first), (end, span.until))
        if a != b
    ]
    if sum((piece.until - piece.start for piece in pieces), timedelta()) > span.until - span.start:
        return Cover(first.date(), first.date(), [Piece(span.start, span.until, 1)])
    return Cover(first.date(), end.date(), pieces)


def _round_to_day(moment: datetime) -> datetime:
    past = (moment - EPOCH) % DAY
    return moment - past if past <= DAY / 2 else moment - past + DAY


def _read_moment(
    field: str, text: str, zone: ZoneInfo, faults: list[Fault], *, whole_day: bool
) -> datetime | None:
    """Read a date or date-time as a moment (UTC); what is neither becomes a fault.

    `whole_day`: a date means its end rather than its beginning.
    """
    try:
        if _BARE_DATE.fullmatch(text):
            moment = find_day_start(date.fromisoformat(text) + (DAY if whole_day else timedelta()), zone)
        else:
            moment = datetime.fromisoformat(text)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(Fault(field, _BAD_MOMENT, text))
        return None
    if not EARLIEST <= moment <= LATEST:
        faults.append(Fault(field, f"must be in the years {EARLIEST.year} to {LATEST.year - 1}", text))
        return None
    if (moment - EPOCH) % QUARTER:
        faults.append(Fault(field, "must be at a whole quarter of an hour, such as 10:15", text))
        return None
    return moment


def _show(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()
