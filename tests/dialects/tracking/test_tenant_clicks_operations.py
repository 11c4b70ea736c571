"""Clicks of a tenant: on links and on pages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.links.conftest import create, make_caller
from tests.dialects.members import client_of
from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_clicks, add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import Caller, SetClock
    from tests.dialects.tracking.conftest import KeyHolder


async def get_ids(api: httpx.AsyncClient, **params: Any) -> list[str]:
    response = await api.get("/v1/clicks", params=params)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["pagination"]["total"] == len(body["data"])
    return [click["id"] for click in body["data"]]


@pytest.fixture
async def owner(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    """A user with a key of the links contract."""
    return await make_caller(app, pool, settings, clock())


@pytest.fixture
async def redirect(owner: Caller) -> dict[str, Any]:
    """The columns of a click on a link of that user's."""
    link = await create(owner)
    return {
        "link_id": uuid.UUID(link["id"]),
        "variant_id": uuid.UUID(link["variants"][0]["id"]),
        "link_version": 1,
        "reason": 4,
        "country": "DE",
        "device": "mobile",
        "campaign": "spring",
    }


class TestGetClick:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get(f"/v1/clicks/{make_id(0)}")).status_code == 401

    async def test_another_tenants_is_not_found(
        self, pool: asyncpg.Pool, holder: KeyHolder, foreign_holder: KeyHolder
    ) -> None:
        (click_id,) = await add_clicks(pool, holder.tenant_id, {})
        assert (await holder.api.get(f"/v1/clicks/{click_id}")).status_code == 200
        for missing in (click_id, make_id(7), "x"):
            response = await foreign_holder.api.get(f"/v1/clicks/{missing}")
            assert response.json()["error"]["details"]["reason"] == "click_not_found"

    async def test_a_click_on_an_element(self, pool: asyncpg.Pool, holder: KeyHolder) -> None:
        project_id = await add_project(pool, holder.tenant_id)
        element = {
            "visit_id": "v-1",
            "click_id": "c-1",
            "target_url": "https://partner.example/",
            "element_type": "a",
            "element_text": "Buy now",
            "campaign": "123",
            "ad_group": "45",
            "keyword": "shoes",
            "device": "desktop",
            "country": "BR",
        }
        (click_id,) = await add_clicks(pool, holder.tenant_id, element | {"project_id": project_id})
        response = await holder.api.get(f"/v1/clicks/{click_id}")
        assert response.json() == {
            "data": element
            | {
                "id": click_id,
                "project_id": str(project_id),
                "link_id": None,
                "variant_id": None,
                "is_bot": False,
                "is_conversion": False,
                "created_at": "2026-05-01T09:30:00Z",
            },
            "request_id": response.headers["X-Request-ID"],
        }

    async def test_a_redirect(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, owner: Caller, redirect: dict[str, Any]
    ) -> None:
        tenant_id = owner.account.tenant_id
        (click_id,) = await add_clicks(pool, tenant_id, redirect | {"is_conversion": True})
        holder = await make_holder(app, pool, clock(), tenant_id=tenant_id)
        data = (await holder.api.get(f"/v1/clicks/{click_id}")).json()["data"]
        assert data == {
            "id": click_id,
            "project_id": None,
            "visit_id": None,
            "click_id": click_id,
            "target_url": "https://example.com/control",
            "element_type": None,
            "element_text": None,
            "campaign": "spring",
            "ad_group": None,
            "keyword": None,
            "device": "mobile",
            "country": "DE",
            "link_id": str(redirect["link_id"]),
            "variant_id": str(redirect["variant_id"]),
            "is_bot": False,
            "is_conversion": True,
            "created_at": "2026-05-01T09:30:00Z",
        }


class TestListClicks:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/clicks")).status_code == 401

    async def test_both_kinds_stand_in_one_list(
        self,
        app: Any,
        pool: asyncpg.Pool,
        clock: SetClock,
        owner: Caller,
        redirect: dict[str, Any],
    ) -> None:
        tenant_id = owner.account.tenant_id
        project_id = await add_project(pool, tenant_id)
        holder = await make_holder(app, pool, clock(), tenant_id=tenant_id)
        ids = await add_clicks(pool, tenant_id, redirect, {"project_id": project_id}, redirect)
        assert await get_ids(holder.api) == ids
        assert await get_ids(holder.api, project_id=str(project_id)) == [ids[1]]
        assert await get_ids(holder.api, **{"from": "2026-05-01T09:31:00Z"}) == ids[:2]
        assert await get_ids(holder.api, to="2026-05-01T09:31:00Z") == ids[1:]

    async def test_a_visit_by_its_id_however_it_is_spelt(self, pool: asyncpg.Pool, holder: KeyHolder) -> None:
        visit_id = str(make_id(50))
        ids = await add_clicks(
            pool, holder.tenant_id, {"visit_id": visit_id}, {"visit_id": "v-1"}, {}, {"visit_id": visit_id}
        )
        assert await get_ids(holder.api, visit_id=visit_id) == [ids[0], ids[3]]
        assert await get_ids(holder.api, visit_id=visit_id.upper()) == [ids[0], ids[3]]
        assert await get_ids(holder.api, visit_id="v-1") == [ids[2]]

    async def test_pages_both_ways(self, pool: asyncpg.Pool, holder: KeyHolder) -> None:
        ids = await add_clicks(pool, holder.tenant_id, *({} for _ in range(5)))
        first = (await holder.api.get("/v1/clicks", params={"per_page": 3})).json()
        place = {"per_page": 3, "cursor": first["pagination"]["next_cursor"]}
        second = (await holder.api.get("/v1/clicks", params=place)).json()
        assert [click["id"] for click in first["data"] + second["data"]] == ids
        assert second["pagination"]["total"] == 5
        place["cursor"] = second["pagination"]["prev_cursor"]
        assert (await holder.api.get("/v1/clicks", params=place)).json()["data"] == first["data"]
        refused = await holder.api.get("/v1/visits", params=place)
        assert refused.status_code == 400


class TestKeysOfTheLinksContract:
    async def test_they_see_what_came_of_their_users_links(
        self,
        app: Any,
        pool: asyncpg.Pool,
        owner: Caller,
        redirect: dict[str, Any],
    ) -> None:
        tenant_id = owner.account.tenant_id
        other_link = redirect | {"link_id": uuid.UUID(int=5)}
        _page, _foreign, own = await add_clicks(pool, tenant_id, redirect, other_link, {})
        api = client_of(app, {"Authorization": f"Bearer {owner.secret}"})
        (seen,) = await get_ids(api)
        assert seen not in {_page, _foreign}
        assert seen == own
        assert (await api.get(f"/v1/clicks/{own}")).status_code == 200
        for hidden in (_page, _foreign):
            assert (await api.get(f"/v1/clicks/{hidden}")).status_code == 404
        assert (await api.get("/v1/visits")).status_code == 403

    async def test_they_need_a_plan_with_the_api(self, app: Any, pool: asyncpg.Pool, owner: Caller) -> None:
        await pool.execute("UPDATE tenants SET plan_code = 'free' WHERE id = $1", owner.account.tenant_id)
        api = client_of(app, {"Authorization": f"Bearer {owner.secret}"})
        response = await api.get("/v1/clicks")
        assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")

    async def test_they_count_against_the_plans_hour_too(
        self, app: Any, pool: asyncpg.Pool, owner: Caller
    ) -> None:
        await pool.execute("UPDATE plans SET api_requests_per_hour = 1")
        api = client_of(app, {"Authorization": f"Bearer {owner.secret}"})
        assert (await api.get("/v1/clicks")).status_code == 200
        response = await api.get("/v1/clicks")
        assert response.status_code == 429
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["Retry-After"] == str(39 * 60 + 30)
        assert (await owner.api.get("/links")).status_code == 429
