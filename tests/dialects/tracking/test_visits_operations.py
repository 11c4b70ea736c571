"""Visits: every field, every filter, every page."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import START, add_project, add_visits, make_id

if TYPE_CHECKING:
    import uuid

    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

FULL = {
    "visitor_id": -2,
    "utm_source": "google",
    "utm_medium": "cpc",
    "utm_campaign": "spring",
    "utm_content": "blue",
    "utm_term": "shoes",
    "campaign": "123",
    "ad_group": "45",
    "keyword": "running shoes",
    "network": "g",
    "gclid": "Cj0",
    "country": "DE",
    "device": "mobile",
    "referrer": "https://google.com/",
}


@pytest.fixture
async def project_id(pool: asyncpg.Pool, holder: KeyHolder) -> uuid.UUID:
    return await add_project(pool, holder.tenant_id)


async def get_ids(holder: KeyHolder, **params: Any) -> list[str]:
    response = await holder.api.get("/v1/visits", params=params)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["pagination"]["total"] == len(body["data"])
    return [visit["id"] for visit in body["data"]]


class TestGetVisit:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.get(f"/v1/visits/{make_id(0)}")
        assert response.status_code == 401

    async def test_another_tenants_is_not_found(
        self, pool: asyncpg.Pool, holder: KeyHolder, foreign_holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        (visit_id,) = await add_visits(pool, holder.tenant_id, project_id, {})
        assert (await holder.api.get(f"/v1/visits/{visit_id}")).status_code == 200
        for missing in (visit_id, str(make_id(7)), "nonsense"):
            response = await foreign_holder.api.get(f"/v1/visits/{missing}")
            assert response.status_code == 404
            assert response.json()["error"]["details"] == {
                "reason": "visit_not_found",
                "text": "Visit not found",
            }

    async def test_shows_every_field(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        (visit_id,) = await add_visits(pool, holder.tenant_id, project_id, FULL)
        response = await holder.api.get(f"/v1/visits/{visit_id}")
        assert response.json() == {
            "data": FULL
            | {
                "id": visit_id,
                "project_id": str(project_id),
                "visitor_id": "fffffffffffffffe",
                "country_name": "Germany",
                "landing_url": "https://shop.example/",
                "is_bot": False,
                "created_at": "2026-05-01T09:30:00Z",
            },
            "request_id": response.headers["X-Request-ID"],
        }

    @pytest.mark.parametrize(("country", "name"), [("", None), ("ZZ", None), ("QQ", None), ("BR", "Brazil")])
    async def test_names_of_countries(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, country: str, name: str | None
    ) -> None:
        (visit_id,) = await add_visits(pool, holder.tenant_id, project_id, {"country": country})
        visit = (await holder.api.get(f"/v1/visits/{visit_id}")).json()["data"]
        assert (visit["country"], visit["country_name"]) == (country or None, name)
        assert visit["utm_source"] is None


class TestListVisits:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/visits")).status_code == 401

    async def test_only_the_tenants_own(
        self, pool: asyncpg.Pool, holder: KeyHolder, foreign_holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        ids = await add_visits(pool, holder.tenant_id, project_id, {}, {})
        assert await get_ids(holder) == ids
        assert await get_ids(foreign_holder) == []
        assert await get_ids(foreign_holder, project_id=str(project_id)) == []

    @pytest.mark.parametrize("name", ["campaign", "ad_group", "keyword", "device", "country"])
    async def test_filters(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        other = FULL | {name: "XX"}
        _lacking, wanted, _other = await add_visits(pool, holder.tenant_id, project_id, other, FULL, {})
        assert await get_ids(holder, **{name: FULL[name]}) == [wanted]
        assert await get_ids(holder, **{name: FULL[name], "project_id": str(project_id)}) == [wanted]
        assert await get_ids(holder, **{name: "nothing of the kind"}) == []

    async def test_country_is_told_in_any_case(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        ids = await add_visits(pool, holder.tenant_id, project_id, FULL)
        assert await get_ids(holder, country="de") == ids

    async def test_project(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        other = await add_project(pool, holder.tenant_id)
        await add_visits(pool, holder.tenant_id, other, {})
        ids = await add_visits(pool, holder.tenant_id, project_id, {}, first=5)
        assert await get_ids(holder, project_id=str(project_id)) == ids

    @pytest.mark.parametrize(
        ("params", "found"),
        [
            ({"from": "2026-05-01T09:31:00Z"}, 2),
            ({"to": "2026-05-01T09:31:00Z"}, 2),
            ({"from": "2026-05-01T09:31:00Z", "to": "2026-05-01T09:31:00Z"}, 1),
            ({"from": "2026-05-01T11:30:00+02:00", "to": "2026-05-01"}, 3),
            ({"from": "2026-05-02"}, 0),
            ({"to": "2026-04-30"}, 0),
        ],
    )
    async def test_stretches_of_time(
        self,
        pool: asyncpg.Pool,
        holder: KeyHolder,
        project_id: uuid.UUID,
        params: dict[str, str],
        found: int,
    ) -> None:
        await add_visits(pool, holder.tenant_id, project_id, {}, {}, {})
        assert len(await get_ids(holder, **params)) == found

    @pytest.mark.parametrize(
        ("params", "faults"),
        [
            ({"project_id": "x"}, [("project_id", "must be a UUID", '"x"')]),
            ({"from": "yesterday"}, [("from", "must be an ISO 8601 date or date-time", '"yesterday"')]),
            (
                {"from": "2026-05-02", "to": "2026-05-01"},
                [("from", "must not be after to 2026-05-01", '"2026-05-02"')],
            ),
            (
                {"page": "0", "per_page": "101"},
                [
                    ("page", "must be a whole number from 1 to 2147483647", '"0"'),
                    ("per_page", "must be a whole number from 1 to 100", '"101"'),
                ],
            ),
            ({"page": "1", "cursor": "x"}, [("cursor", "must not be given together with page", '"x"')]),
            ({"cursor": "x"}, [("cursor", "must be a cursor of this list, with the same filters", '"x"')]),
        ],
    )
    async def test_faults_are_all_named(
        self, holder: KeyHolder, params: dict[str, str], faults: list[tuple[str, str, str]]
    ) -> None:
        response = await holder.api.get("/v1/visits", params=params, headers={"Accept-Language": "pt"})
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["code"], error["message"]) == ("validation_error", "Erro de validação")
        assert error["details"] == {
            "errors": [{"field": field, "rule": rule, "value": value} for field, rule, value in faults]
        }


class TestPages:
    async def test_an_empty_list(self, holder: KeyHolder) -> None:
        body = (await holder.api.get("/v1/visits")).json()
        assert body["data"] == []
        assert body["pagination"] == {
            "page": 1,
            "per_page": 25,
            "total": 0,
            "total_pages": 0,
            "has_next": False,
            "has_previous": False,
            "next_cursor": None,
            "prev_cursor": None,
        }

    async def test_every_page_by_number_and_by_cursor(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        ids = await add_visits(pool, holder.tenant_id, project_id, *({} for _ in range(23)))
        chance = random.Random(5)
        for _ in range(12):
            per_page = chance.randint(1, 24)
            pages = -(-len(ids) // per_page)
            cursor, forth = None, []
            for number in range(1, pages + 1):
                by_number = (
                    await holder.api.get("/v1/visits", params={"page": number, "per_page": per_page})
                ).json()
                place: dict[str, Any] = {"cursor": cursor} if cursor else {}
                by_cursor = (await holder.api.get("/v1/visits", params={"per_page": per_page} | place)).json()
                assert by_number["data"] == by_cursor["data"]
                assert by_number["pagination"] == by_cursor["pagination"]
                pagination = by_cursor["pagination"]
                assert (pagination["page"], pagination["total_pages"]) == (number, pages)
                assert pagination["has_next"] is (number < pages) is (pagination["next_cursor"] is not None)
                assert pagination["has_previous"] is (number > 1)
                cursor, shown = pagination["next_cursor"], [visit["id"] for visit in by_cursor["data"]]
                forth.append(shown)
            assert [visit for page in forth for visit in page] == ids
            for number in range(pages - 1, 0, -1):
                back = {"per_page": per_page, "cursor": pagination["prev_cursor"]}
                body = (await holder.api.get("/v1/visits", params=back)).json()
                assert [visit["id"] for visit in body["data"]] == forth[number - 1]
                pagination = body["pagination"]
                assert pagination["page"] == number
                assert pagination["has_previous"] is (number > 1)
                assert pagination["has_next"]

    async def test_what_comes_in_meanwhile_is_neither_skipped_nor_repeated(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        ids = await add_visits(pool, holder.tenant_id, project_id, *({} for _ in range(4)))
        first = (await holder.api.get("/v1/visits", params={"per_page": 2})).json()
        newer = await add_visits(pool, holder.tenant_id, project_id, {}, {}, {}, first=10)
        place = {"per_page": 2, "cursor": first["pagination"]["next_cursor"]}
        second = (await holder.api.get("/v1/visits", params=place)).json()
        assert [visit["id"] for visit in second["data"]] == ids[2:]
        assert second["pagination"]["total"] == 7
        back = {"per_page": 2, "cursor": first["pagination"]["prev_cursor"] or ""}
        assert first["pagination"]["has_previous"] is False
        back["cursor"] = second["pagination"]["prev_cursor"]
        again = (await holder.api.get("/v1/visits", params=back)).json()
        assert [visit["id"] for visit in again["data"]] == ids[:2]
        assert again["pagination"]["has_previous"]
        back["cursor"] = again["pagination"]["prev_cursor"]
        top = (await holder.api.get("/v1/visits", params=back)).json()
        assert [visit["id"] for visit in top["data"]] == newer[1:]

    async def test_past_the_end(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        ids = await add_visits(pool, holder.tenant_id, project_id, {}, {}, {})
        for page in (3, 2**31 - 1):
            body = (await holder.api.get("/v1/visits", params={"page": page, "per_page": 2})).json()
            assert body["data"] == []
            pagination = body["pagination"]
            assert (pagination["page"], pagination["total"], pagination["total_pages"]) == (page, 3, 2)
            assert (pagination["has_next"], pagination["has_previous"]) == (False, True)
        back = {"per_page": 2, "cursor": pagination["prev_cursor"]}
        body = (await holder.api.get("/v1/visits", params=back)).json()
        assert [visit["id"] for visit in body["data"]] == ids[2:]
        assert body["pagination"]["page"] == 2

    async def test_a_cursor_is_of_one_list_one_tenant_and_unaltered(  # noqa: PLR0913, PLR0917  fixtures
        self,
        app: Any,
        pool: asyncpg.Pool,
        clock: SetClock,
        holder: KeyHolder,
        foreign_holder: KeyHolder,
        project_id: uuid.UUID,
    ) -> None:
        await add_visits(pool, holder.tenant_id, project_id, {}, {})
        body = (await holder.api.get("/v1/visits", params={"per_page": 1})).json()
        cursor = body["pagination"]["next_cursor"]
        colleague = await make_holder(app, pool, clock(), tenant_id=holder.tenant_id)
        good = await colleague.api.get("/v1/visits", params={"cursor": cursor})
        assert (good.status_code, len(good.json()["data"])) == (200, 1)
        altered = ("A" if cursor[20] != "A" else "B").join((cursor[:20], cursor[21:]))
        since = (START - timedelta(days=1)).isoformat()
        refused = [
            (foreign_holder, "visits", {"cursor": cursor}),
            (holder, "visits", {"cursor": cursor, "country": "DE"}),
            (holder, "visits", {"cursor": cursor, "from": since}),
            (holder, "visits", {"cursor": altered}),
            (holder, "visits", {"cursor": cursor[:-2]}),
            (holder, "visits", {"cursor": "é"}),
            (holder, "visits", {"cursor": ""}),
        ]
        for caller, name, params in refused:
            response = await caller.api.get(f"/v1/{name}", params=params)
            assert response.status_code == 400, params
            assert response.json()["error"]["details"]["errors"][0]["field"] == "cursor"
