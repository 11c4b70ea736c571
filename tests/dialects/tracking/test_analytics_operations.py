"""Analytics of projects and campaigns: whose they are, what they show, and what is refused.

That sums are what the rows say is tests/domains/test_analytics.py's business.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.domains.traffic.changes import Changes, subjects_of
from control_plane.domains.traffic.model import Counts, Dimension, Money, campaign_id
from control_plane.domains.traffic.store import write_changes
from tests.dialects.tracking.conftest import READS, make_holder
from tests.dialects.tracking.rows import add_campaign, add_project, make_id

if TYPE_CHECKING:
    import uuid

    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

TAILS = ("/analytics", "/analytics/series", "/analytics/breakdown?by=country", "/analytics/funnel")
PATHS = [
    *TAILS,
    *(f"/campaigns/{make_id(2)}{tail}" for tail in TAILS),
    "/campaigns",
]
MORNING = datetime(2026, 5, 1, 8, 5, tzinfo=UTC)
EVENING = datetime(2026, 5, 1, 22, 50, tzinfo=UTC)
NOTHING_ELSE = {"page_clicks": 0, "checkouts": 0, "sales": 0}
NO_TRAFFIC: dict[str, Any] = {
    "clicks": 0,
    "uniques": 0,
    "humans": 0,
    "human_uniques": 0,
    "conversions": 0,
    "human_conversions": 0,
    "visits": 0,
    "human_visits": 0,
    "conversion_rate": None,
    "revenue": [],
}
IN_MORNING = {
    "clicks": 10,
    "uniques": 8,
    "humans": 4,
    "human_uniques": 3,
    "conversions": 3,
    "human_conversions": 1,
    "visits": 20,
    "human_visits": 16,
}
EUROS = {
    "currency": "EUR",
    "sales": 2,
    "gross": "30.00",
    "upsells": "5.00",
    "refunds": "10.00",
    "net": "25.00",
    "commission": "3.00",
}


@pytest.fixture
async def project_id(pool: asyncpg.Pool, holder: KeyHolder) -> uuid.UUID:
    """A project with traffic: of Germans of a campaign in the morning, of others in the evening."""
    project_id = await add_project(pool, holder.tenant_id)
    changes = Changes()
    spring = subjects_of(holder.tenant_id, link=None, project_id=project_id, campaign="spring")
    changes.name_campaign(spring[1], project_id, "spring")
    germans = {Dimension.COUNTRY: "DE"}
    changes.count(spring, MORNING, germans, Counts(**IN_MORNING, page_clicks=7, checkouts=5, sales=2))
    changes.pay(spring, MORNING, germans, Money("EUR", 2, 3000, 500, 1000, 300))
    changes.pay(spring, MORNING, germans, Money("JPY", 1, 700))
    changes.count(spring[:1], EVENING, {Dimension.COUNTRY: "BR"}, Counts(clicks=2, visits=1))
    changes.count(spring[:1], EVENING, {}, Counts(clicks=1))
    async with pool.acquire() as db, db.transaction():
        await write_changes(db, changes)
    return project_id


async def get(holder: KeyHolder, project_id: uuid.UUID, tail: str, **params: str) -> Any:
    """Get something of a project: its data."""
    response = await holder.api.get(f"/v1/projects/{project_id}{tail}", params=params)
    assert response.status_code == 200, response.text
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    return response.json()["data"]


async def refuse(
    holder: KeyHolder, project_id: uuid.UUID, tail: str, **params: str
) -> list[tuple[str, str | None]]:
    """Ask for what is refused; give (field, value) of every fault."""
    response = await holder.api.get(f"/v1/projects/{project_id}{tail}", params=params)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "validation_error")
    assert all(fault["rule"] for fault in error["details"]["errors"])
    return [(fault["field"], fault.get("value")) for fault in error["details"]["errors"]]


@pytest.mark.parametrize("path", PATHS)
class TestWhoMay:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient, path: str) -> None:
        assert (await anonymous.get(f"/v1/projects/{make_id(1)}{path}")).status_code == 401

    async def test_another_tenants_is_not_found(
        self, foreign_holder: KeyHolder, project_id: uuid.UUID, path: str
    ) -> None:
        path = path.replace(str(make_id(2)), str(campaign_id(project_id, "spring")))
        for missing in (project_id, make_id(7), "x"):
            response = await foreign_holder.api.get(f"/v1/projects/{missing}{path}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")

    async def test_sums_need_what_their_parts_need(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, path: str
    ) -> None:
        for missing in READS:
            scopes = tuple(scope for scope in READS if scope != missing)
            holder = await make_holder(app, pool, clock(), scopes=scopes)
            response = await holder.api.get(f"/v1/projects/{make_id(1)}{path}")
            assert response.status_code == 403
            assert missing in response.json()["error"]["details"]["text"]


class TestTotals:
    async def test_shows_everything_side_by_side(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        data = await get(holder, project_id, "/analytics")
        assert (data["from"], data["to"], data["timezone"]) == (
            "2026-04-05T00:00:00Z",
            "2026-05-05T00:00:00Z",
            "UTC",
        )
        totals = data["totals"]
        rate = totals.pop("conversion_rate")
        assert rate["value"] == 0.25
        assert 0 < rate["low"] < 0.25 < rate["high"] < 1
        yen = dict.fromkeys(EUROS, "0") | {"currency": "JPY", "sales": 1, "gross": "700", "net": "700"}
        assert totals.pop("revenue") == [EUROS, yen]
        assert totals == IN_MORNING | {
            "clicks": 13,
            "visits": 21,
            "page_clicks": 7,
            "checkouts": 5,
            "sales": 2,
        }

    async def test_of_a_campaign(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        path = f"/campaigns/{campaign_id(project_id, 'spring')}/analytics"
        totals = (await get(holder, project_id, path))["totals"]
        assert (totals["clicks"], totals["visits"]) == (10, 20)
        assert "page_clicks" not in totals

    async def test_in_a_stretch_of_time(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        data = await get(
            holder, project_id, "/analytics", **{"from": "2026-05-01T22:45Z", "to": "2026-05-01"}
        )
        assert data["totals"] == NO_TRAFFIC | NOTHING_ELSE | {"clicks": 3, "visits": 1}

    async def test_the_campaign_of_another_project_is_not_found(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        other = await add_project(pool, holder.tenant_id)
        for missing in (campaign_id(project_id, "spring"), make_id(7), "x"):
            response = await holder.api.get(f"/v1/projects/{other}/campaigns/{missing}/analytics")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")

    async def test_every_fault_is_named(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        faults = await refuse(
            holder, project_id, "/analytics", **{"from": "x", "to": "2026-05-01T10:01Z", "timezone": "Mars"}
        )
        assert faults == [("timezone", '"Mars"'), ("to", '"2026-05-01T10:01Z"'), ("from", '"x"')]


class TestSeries:
    async def test_days_are_those_of_the_time_zone(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        data = await get(
            holder,
            project_id,
            "/analytics/series",
            **{"from": "2026-05-01", "to": "2026-05-03", "timezone": "Europe/Berlin"},
        )
        assert (data["interval"], data["timezone"]) == ("day", "Europe/Berlin")
        assert [(one["from"], one["clicks"]) for one in data["items"]] == [
            ("2026-05-01T00:00:00+02:00", 10),
            ("2026-05-02T00:00:00+02:00", 3),
            ("2026-05-03T00:00:00+02:00", 0),
        ]
        assert data["items"][0]["revenue"][0] == EUROS

    async def test_every_fault_is_named(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        tail = "/analytics/series"
        assert await refuse(holder, project_id, tail, interval="year", to="x") == [
            ("interval", '"year"'),
            ("to", '"x"'),
        ]
        many = {"interval": "hour", "from": "2025-01-01", "to": "2025-12-31"}
        assert await refuse(holder, project_id, tail, **many) == [("interval", '"hour"')]


class TestBreakdown:
    async def test_adds_up_to_the_total(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        data = await get(holder, project_id, "/analytics/breakdown", by="country", sort="visits", limit="1")
        (item,) = data["items"]
        assert (data["by"], data["sort"], item["value"]) == ("country", "visits", "DE")
        assert (item["clicks"], item["revenue"][0]) == (10, EUROS)
        assert "label" not in item
        assert (data["other"]["values"], data["other"]["clicks"]) == (1, 2)
        assert (data["unknown"]["clicks"], data["total"]["clicks"]) == (1, 13)

    async def test_every_fault_is_named(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        tail = "/analytics/breakdown"
        assert await refuse(holder, project_id, tail) == [("by", None)]
        assert await refuse(holder, project_id, tail, by="variant", limit="0", sort="money") == [
            ("by", '"variant"'),
            ("limit", '"0"'),
            ("sort", '"money"'),
        ]


async def test_the_funnel_leads_from_visits_to_sales(holder: KeyHolder, project_id: uuid.UUID) -> None:
    path = f"/campaigns/{campaign_id(project_id, 'spring')}/analytics/funnel"
    steps = (await get(holder, project_id, path))["steps"]
    assert steps == [
        {"name": "visits", "count": 20, "humans": 16, "rate_of_previous": None, "rate_of_first": None},
        {"name": "clicks", "count": 10, "humans": 4, "rate_of_previous": 0.25, "rate_of_first": 0.25},
        {"name": "checkouts", "count": 5, "humans": None, "rate_of_previous": 1.25, "rate_of_first": 5 / 16},
        {"name": "sales", "count": 2, "humans": None, "rate_of_previous": 0.4, "rate_of_first": 0.125},
    ]


class TestCampaigns:
    async def test_shows_names_and_totals(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        response = await holder.api.get(f"/v1/projects/{project_id}/campaigns?timezone=Europe/Berlin")
        body = response.json()
        assert list(body) == ["data", "pagination", "request_id", "range"]
        assert body["range"] == {
            "from": "2026-04-05T00:00:00+02:00",
            "to": "2026-05-05T00:00:00+02:00",
            "timezone": "Europe/Berlin",
        }
        (campaign,) = body["data"]
        assert (campaign["id"], campaign["name"]) == (str(campaign_id(project_id, "spring")), "spring")
        assert (campaign["clicks"], campaign["human_visits"], campaign["sales"]) == (10, 16, 2)
        assert campaign["revenue"][0] == EUROS
        response = await holder.api.get(f"/v1/projects/{project_id}/campaigns?to=2026-04-30")
        (campaign,) = response.json()["data"]
        assert {name: campaign[name] for name in NO_TRAFFIC} == NO_TRAFFIC

    async def test_pages_lie_side_by_side(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        for name in ("autumn", "winter", "summer", "Spring"):
            await add_campaign(pool, holder.tenant_id, project_id, name)
        other = await add_project(pool, holder.tenant_id)
        await add_campaign(pool, holder.tenant_id, other, "elsewhere")
        path = f"/v1/projects/{project_id}/campaigns"
        listed = [one["name"] for one in (await holder.api.get(path)).json()["data"]]
        assert len(set(listed)) == 5
        found, params = [], {"per_page": "2"}
        for number in (1, 2, 3):
            body = (await holder.api.get(path, params=params)).json()
            assert [one["name"] for one in body["data"]] == [
                one["name"]
                for one in (await holder.api.get(f"{path}?per_page=2&page={number}")).json()["data"]
            ]
            assert (body["pagination"]["page"], body["pagination"]["total"]) == (number, 5)
            found += [one["name"] for one in body["data"]]
            params = {"per_page": "2", "cursor": body["pagination"]["next_cursor"]}
        assert (found, body["pagination"]["has_next"]) == (listed, False)
        back = {"per_page": "2", "cursor": body["pagination"]["prev_cursor"]}
        body = (await holder.api.get(path, params=back)).json()
        assert [one["name"] for one in body["data"]] == listed[2:4]
        back["cursor"] = body["pagination"]["prev_cursor"]
        body = (await holder.api.get(path, params=back)).json()
        assert [one["name"] for one in body["data"]] == listed[:2]
        assert not body["pagination"]["has_previous"]

    async def test_every_fault_is_named(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        faults = await refuse(holder, project_id, "/campaigns", per_page="101", timezone="Mars")
        assert faults == [("per_page", '"101"'), ("timezone", '"Mars"')]
        assert await refuse(holder, project_id, "/campaigns", cursor="x") == [("cursor", '"x"')]
