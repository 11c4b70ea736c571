"""Links that belong to a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.dialects.links.conftest import create
from tests.dialects.tracking.rows import add_project, make_id

if TYPE_CHECKING:
    import asyncpg

    from tests.dialects.links.conftest import Caller


class TestProjectOfALink:
    async def test_it_is_given_shown_kept_and_cleared(self, pool: asyncpg.Pool, caller: Caller) -> None:
        project_id = str(await add_project(pool, caller.account.tenant_id))
        link = await create(caller, project_id=project_id)
        assert link["project_id"] == project_id
        path = f"/links/{link['id']}"
        assert (await caller.api.patch(path, json={"name": "Other"})).json()["project_id"] == project_id
        assert (await caller.api.get("/links")).json()["items"][0]["project_id"] == project_id
        assert (await caller.api.patch(path, json={"project_id": None})).json()["project_id"] is None
        assert (await caller.api.get(path)).json()["project_id"] is None
        assert (await caller.api.patch(path, json={"project_id": project_id})).status_code == 200

    async def test_one_that_the_tenant_has_not_is_refused(self, caller: Caller) -> None:
        link = await create(caller)
        for wanted in (str(make_id(7)), "x"):
            answer = await caller.api.patch(f"/links/{link['id']}", json={"project_id": wanted})
            assert answer.status_code == 422
            assert "project_id" in answer.text
            assert wanted in answer.text
