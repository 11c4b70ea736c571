"""Projects: what may be made and changed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

OPERATIONS = [("POST", ""), ("PATCH", f"/{make_id(1)}"), ("POST", f"/{make_id(1)}/secret")]


@pytest.fixture
async def writer(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    return await make_holder(app, pool, clock(), scopes=("projects:write", "projects:read"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
class TestWhoMay:
    async def test_strangers_are_not_let_in(
        self, anonymous: httpx.AsyncClient, method: str, path: str
    ) -> None:
        assert (await anonymous.request(method, f"/v1/projects{path}", json={})).status_code == 401

    async def test_reading_is_not_enough(self, holder: KeyHolder, method: str, path: str) -> None:
        answer = await holder.api.request(method, f"/v1/projects{path}", json={"name": "Shop"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


class TestCreate:
    async def test_shows_the_secret_once(self, writer: KeyHolder) -> None:
        wanted = {"name": "Shop", "domain": "shop.example", "currency": "BRL", "accepts_tag_sales": False}
        answer = await writer.api.post("/v1/projects", json=wanted)
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        assert data["secret"].startswith("sps_")
        assert {name: data[name] for name in wanted} == wanted
        assert data["status"] == "active"
        shown = (await writer.api.get(f"/v1/projects/{data['id']}")).json()["data"]
        assert (shown["name"], "secret" in shown) == ("Shop", False)

    async def test_every_fault_is_named(self, writer: KeyHolder) -> None:
        answer = await writer.api.post("/v1/projects", json={"name": "", "currency": "XXL"})
        assert answer.status_code == 400
        faults = answer.json()["error"]["details"]["errors"]
        assert [fault["field"] for fault in faults] == ["name", "currency"]


class TestChange:
    async def test_what_is_left_out_stays(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        project_id = await add_project(pool, writer.tenant_id, domain="shop.example")
        answer = await writer.api.patch(f"/v1/projects/{project_id}", json={"status": "paused"})
        data = answer.json()["data"]
        assert (answer.status_code, data["status"], data["domain"]) == (200, "paused", "shop.example")
        answer = await writer.api.patch(f"/v1/projects/{project_id}", json={"domain": None})
        assert answer.json()["data"]["domain"] is None

    async def test_another_tenants_is_not_found(
        self, pool: asyncpg.Pool, writer: KeyHolder, foreign_holder: KeyHolder
    ) -> None:
        project_id = await add_project(pool, foreign_holder.tenant_id)
        for missing in (project_id, make_id(7), "x"):
            answer = await writer.api.patch(f"/v1/projects/{missing}", json={"name": "Mine"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


class TestSecret:
    async def test_the_one_before_serves_for_a_day_or_ends(self, writer: KeyHolder) -> None:
        made = (await writer.api.post("/v1/projects", json={"name": "Shop"})).json()["data"]
        path = f"/v1/projects/{made['id']}/secret"
        first = (await writer.api.post(path)).json()["data"]
        assert first["previous_secret_until"] is not None
        second = (await writer.api.post(path, json={"ends_previous": True})).json()["data"]
        assert second["previous_secret_until"] is None
        assert len({made["secret"], first["secret"], second["secret"]}) == 3

    async def test_another_tenants_is_not_found(
        self, pool: asyncpg.Pool, writer: KeyHolder, foreign_holder: KeyHolder
    ) -> None:
        project_id = await add_project(pool, foreign_holder.tenant_id)
        assert (await writer.api.post(f"/v1/projects/{project_id}/secret")).status_code == 404
