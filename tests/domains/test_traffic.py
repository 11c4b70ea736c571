from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from control_plane.domains.traffic.changes import Changes, split_row, subjects_of
from control_plane.domains.traffic.model import (
    DIMENSIONS,
    Counts,
    Dimension,
    Money,
    Subject,
    SubjectKind,
    campaign_id,
    slot_of,
)
from control_plane.domains.traffic.store import write_changes

if TYPE_CHECKING:
    import asyncpg

TENANT, LINK, VARIANT, PROJECT = (uuid.UUID(int=number) for number in (1, 2, 3, 4))
MOMENT = datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)
SUBJECTS = subjects_of(TENANT, link=(LINK, VARIANT), project_id=PROJECT, campaign="spring")


class TestModel:
    @pytest.mark.parametrize(
        ("moment", "slot"),
        [("10:00:00", "10:00"), ("10:14:59.999", "10:00"), ("10:15:00", "10:15"), ("23:59:59", "23:45")],
    )
    def test_slots_are_quarters_of_an_hour(self, moment: str, slot: str) -> None:
        assert slot_of(datetime.fromisoformat(f"2026-03-01T{moment}Z")) == datetime.fromisoformat(
            f"2026-03-01T{slot}Z"
        )

    def test_an_event_counts_for_its_link_project_and_campaign(self) -> None:
        assert [
            Subject(TENANT, SubjectKind.LINK, LINK, VARIANT),
            Subject(TENANT, SubjectKind.PROJECT, PROJECT),
            Subject(TENANT, SubjectKind.CAMPAIGN, campaign_id(PROJECT, "spring")),
        ] == SUBJECTS
        assert subjects_of(TENANT, link=None, project_id=None, campaign="spring") == []
        assert campaign_id(PROJECT, "spring") != campaign_id(LINK, "spring")

    def test_what_is_not_known_splits_nothing(self) -> None:
        row = dict.fromkeys((dimension.name.lower() for dimension in DIMENSIONS), None)
        assert split_row(row | {"country": "BR", "os": "", "utm_term": "x" * 300}) == {
            Dimension.COUNTRY: "BR",
            Dimension.UTM_TERM: "x" * 255,
        }


class TestChanges:
    async def test_they_are_added_to_what_is_there(self, pool: asyncpg.Pool) -> None:
        split = {Dimension.COUNTRY: "BR", Dimension.OS: "Linux"}
        for _ in range(2):
            changes = Changes()
            changes.count(SUBJECTS, MOMENT, split, Counts(clicks=1, humans=1))
            changes.count(SUBJECTS, MOMENT, split, Counts(clicks=1, page_clicks=1))
            changes.pay(SUBJECTS, MOMENT, split, Money("USD", sales=1, gross_minor=500))
            changes.name_campaign(SUBJECTS[2], PROJECT, "spring")
            async with pool.acquire() as db, db.transaction():
                await write_changes(db, changes)
        slots = await pool.fetch("SELECT * FROM traffic_slots ORDER BY subject_kind")
        assert [(row["subject_kind"], row["clicks"], row["humans"], row["page_clicks"]) for row in slots] == [
            (kind, 4, 2, 2) for kind in (1, 2, 3)
        ]
        assert {row["slot"] for row in slots} == {slot_of(MOMENT)}
        days = await pool.fetch("SELECT * FROM traffic_days WHERE subject_kind = 1 ORDER BY dimension")
        assert [(row["dimension"], row["value"], row["day"], row["clicks"]) for row in days] == [
            (1, "BR", date(2026, 3, 1), 4),
            (4, "Linux", date(2026, 3, 1), 4),
        ]
        money = await pool.fetch("SELECT * FROM revenue_slots WHERE subject_kind = 2 ORDER BY dimension")
        assert [(row["dimension"], row["slot"], row["value"], row["gross_minor"]) for row in money] == [
            (0, slot_of(MOMENT), "", 1000),
            (1, datetime(2026, 3, 1, tzinfo=UTC), "BR", 1000),
            (4, datetime(2026, 3, 1, tzinfo=UTC), "Linux", 1000),
        ]
        assert await pool.fetchval("SELECT name FROM campaigns") == "spring"

    async def test_what_is_taken_away_again_was_never_there(self, pool: asyncpg.Pool) -> None:
        changes = Changes()
        for sign in (1, -1):
            changes.count(SUBJECTS, MOMENT, {Dimension.OS: "Linux"}, Counts(clicks=1), sign=sign)
            changes.pay(SUBJECTS, MOMENT, {Dimension.OS: "Linux"}, Money("USD", sales=1), sign=sign)
        async with pool.acquire() as db, db.transaction():
            await write_changes(db, changes)
        for table in ("traffic_slots", "traffic_days", "revenue_slots"):
            assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0
