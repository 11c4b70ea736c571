"""Projects: what the contract reads of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.dialects.tracking.rows import add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.tracking.conftest import KeyHolder


class TestGetProject:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get(f"/v1/projects/{make_id(1)}")).status_code == 401

    async def test_another_tenants_is_not_found(
        self, pool: asyncpg.Pool, holder: KeyHolder, foreign_holder: KeyHolder
    ) -> None:
        project_id = await add_project(pool, holder.tenant_id)
        for missing in (project_id, make_id(7), "x"):
            response = await foreign_holder.api.get(f"/v1/projects/{missing}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")

    async def test_shows_every_field(self, pool: asyncpg.Pool, holder: KeyHolder) -> None:
        project_id = await add_project(pool, holder.tenant_id, domain="shop.example", status="paused")
        response = await holder.api.get(f"/v1/projects/{project_id}")
        data = response.json()["data"]
        assert {name: data[name] for name in ("id", "name", "domain", "status", "created_at")} == {
            "id": str(project_id),
            "name": "Shop",
            "domain": "shop.example",
            "status": "paused",
            "created_at": "2026-05-01T09:30:00Z",
        }


class TestListProjects:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/projects")).status_code == 401

    async def test_pages(self, pool: asyncpg.Pool, holder: KeyHolder, foreign_holder: KeyHolder) -> None:
        ids = [str(await add_project(pool, holder.tenant_id, id=make_id(number))) for number in range(5)][
            ::-1
        ]
        first = (await holder.api.get("/v1/projects", params={"per_page": 2})).json()
        assert [project["id"] for project in first["data"]] == ids[:2]
        assert (first["pagination"]["total"], first["pagination"]["total_pages"]) == (5, 3)
        place = {"per_page": 2, "cursor": first["pagination"]["next_cursor"]}
        second = (await holder.api.get("/v1/projects", params=place)).json()
        assert [project["id"] for project in second["data"]] == ids[2:4]
        place["cursor"] = second["pagination"]["prev_cursor"]
        assert (await holder.api.get("/v1/projects", params=place)).json()["data"] == first["data"]
        assert (await foreign_holder.api.get("/v1/projects")).json()["data"] == []
