"""Ranges in time zones, and how they are cut and covered."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from control_plane.domains.analytics.model import Range
from control_plane.domains.analytics.ranges import (
    DAY,
    QUARTER,
    cover_days,
    cut_range,
    find_day_start,
    find_zone,
    settle_range,
)

NOW = datetime(2026, 5, 4, 23, 20, 30, tzinfo=UTC)


def show(span: Range) -> tuple[str, str]:
    return span.start.astimezone(span.zone).isoformat(), span.until.astimezone(span.zone).isoformat()


class TestSettle:
    @pytest.mark.parametrize(
        ("start", "until", "zone", "wanted"),
        [
            (None, None, "UTC", ("2026-04-05T00:00:00+00:00", "2026-05-05T00:00:00+00:00")),
            (None, None, "Europe/Berlin", ("2026-04-06T00:00:00+02:00", "2026-05-06T00:00:00+02:00")),
            (None, "2026-04-10", "UTC", ("2026-03-12T00:00:00+00:00", "2026-04-11T00:00:00+00:00")),
            (
                "2026-03-29",
                "2026-03-29",
                "Europe/Berlin",
                ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            ),
            (
                "2026-03-01T10:15",
                "2026-03-01T12:00:00Z",
                "Asia/Kathmandu",
                ("2026-03-01T10:15:00+05:45", "2026-03-01T17:45:00+05:45"),
            ),
        ],
    )
    def test_dates_are_days_of_the_zone(
        self, start: str | None, until: str | None, zone: str, wanted: tuple[str, str]
    ) -> None:
        span, faults = settle_range(start, until, zone, NOW)
        assert faults == []
        assert show(span) == wanted

    @pytest.mark.parametrize(
        ("start", "until", "zone", "wanted"),
        [
            ("yesterday", None, "UTC", 'from must be an ISO 8601 date or date-time, got "yesterday"'),
            ("2026-02-30", None, "UTC", 'from must be an ISO 8601 date or date-time, got "2026-02-30"'),
            (
                None,
                "2026-05-01T10:07",
                "UTC",
                'to must be at a whole quarter of an hour, such as 10:15, got "2026-05-01T10:07"',
            ),
            ("1066-10-14", None, "UTC", 'from must be in the years 2000 to 2099, got "1066-10-14"'),
            ("0001-01-01", None, "Asia/Tokyo", "0001-01-01"),
            ("9999-12-31", None, "UTC", 'from must be in the years 2000 to 2099, got "9999-12-31"'),
            (
                "2026-05-02",
                "2026-05-01",
                "UTC",
                'from must be before the end of the range, 2026-05-02T00:00:00+00:00, got "2026-05-02"',
            ),
            (
                "2020-01-01",
                "2026-05-01",
                "UTC",
                'from must be at most 1100 days before its end, 2026-05-02T00:00:00+00:00, got "2020-01-01"',
            ),
            (
                None,
                None,
                "Mars/Olympus",
                'timezone must be a time zone as IANA names it, such as Europe/Berlin, got "Mars/Olympus"',
            ),
            (None, None, "../etc/passwd", "../etc/passwd"),
            (None, None, "", "timezone"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, start: str | None, until: str | None, zone: str, wanted: str
    ) -> None:
        _span, faults = settle_range(start, until, zone, NOW)
        assert len(faults) == 1
        assert wanted in str(faults[0])

    def test_all_faults_are_named(self) -> None:
        _span, faults = settle_range("a", "b", "c", NOW)
        assert [fault.field for fault in faults] == ["timezone", "to", "from"]


class TestDays:
    @pytest.mark.parametrize(
        ("zone", "day", "wanted"),
        [
            ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00+00:00"),
            ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00:00+00:00"),
            ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00+00:00"),
            ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00+00:00"),
            ("Asia/Kathmandu", date(2026, 1, 1), "2025-12-31T18:15:00+00:00"),
            ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00+00:00"),
            ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00+00:00"),
        ],
    )
    def test_they_begin_at_midnight_or_where_clocks_skip_it_after(
        self, zone: str, day: date, wanted: str
    ) -> None:
        assert find_day_start(day, ZoneInfo(zone)).isoformat() == wanted

    def test_every_zone_s_days_begin_at_quarters(self) -> None:
        for name in ("UTC", "Asia/Kolkata", "Australia/Eucla", "Pacific/Chatham", "Africa/Monrovia"):
            zone = find_zone(name)
            assert zone is not None
            for number in range(0, 9000, 7):
                start = find_day_start(date(2000, 1, 1) + number * DAY, zone)
                assert (start - datetime(2000, 1, 1, tzinfo=UTC)) % QUARTER == timedelta()


class TestCut:
    def lengths(self, zone: str, first: str, last: str, interval: str) -> list[float]:
        span, faults = settle_range(first, last, zone, NOW)
        assert faults == []
        starts = [*cut_range(span, interval), span.until]  # type: ignore[arg-type]  # one of them
        return [(b - a) / timedelta(hours=1) for a, b in itertools.pairwise(starts)]

    def test_days_have_23_or_25_hours_when_clocks_change(self) -> None:
        assert self.lengths("Europe/Berlin", "2026-03-28", "2026-03-30", "day") == [24, 23, 24]
        assert self.lengths("Europe/Berlin", "2026-10-24", "2026-10-26", "day") == [24, 25, 24]
        assert self.lengths("Australia/Lord_Howe", "2026-04-04", "2026-04-06", "day") == [24, 24.5, 24]

    def test_hours_are_those_of_the_zone(self) -> None:
        assert self.lengths("Europe/Berlin", "2026-03-29", "2026-03-29", "hour") == [1] * 23
        assert self.lengths("Europe/Berlin", "2026-10-25", "2026-10-25", "hour") == [1] * 25
        half = self.lengths("Australia/Lord_Howe", "2026-04-05", "2026-04-05", "hour")
        assert half == [1, 1, 0.5, *[1] * 22]

    def test_weeks_begin_on_mondays_and_months_on_firsts(self) -> None:
        assert self.lengths("UTC", "2026-05-01", "2026-05-12", "week") == [72, 168, 48]
        assert self.lengths("UTC", "2026-01-31", "2026-03-01", "month") == [24, 28 * 24, 24]

    def test_a_day_that_a_zone_never_had_is_no_bucket(self) -> None:
        assert self.lengths("Pacific/Apia", "2011-12-29", "2011-12-31", "day") == [24, 24]

    def test_pieces_of_hours_stand_at_the_ends(self) -> None:
        assert self.lengths("UTC", "2026-05-01T10:30", "2026-05-01T12:15", "hour") == [0.5, 1, 0.25]


class TestCover:
    def test_days_and_pieces_are_the_range_and_pieces_are_short(self) -> None:
        chance = random.Random(3)
        origin = datetime(2026, 3, 1, tzinfo=UTC)
        for _ in range(500):
            first, last = sorted(chance.sample(range(1000), 2))
            span = Range(origin + first * QUARTER, origin + last * QUARTER, ZoneInfo("UTC"))
            cover = cover_days(span)
            covered = [0] * 1200
            offset = (cover.first_day - origin.date()) // DAY * 96
            for quarter in range(offset, offset + (cover.end_day - cover.first_day) // DAY * 96):
                covered[quarter] += 1
            for piece in cover.pieces:
                for quarter in range((piece.start - origin) // QUARTER, (piece.until - origin) // QUARTER):
                    covered[quarter] += piece.sign
            assert covered == [int(first <= quarter < last) for quarter in range(1200)]
            assert sum((piece.until - piece.start for piece in cover.pieces), timedelta()) <= min(
                DAY, span.until - span.start
            )

    def test_whole_days_have_no_pieces(self) -> None:
        span, _ = settle_range("2026-05-01", "2026-05-03", "UTC", NOW)
        assert cover_days(span).pieces == []
