"""Erasures: who may ask for them, how, and what is shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_clicks, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

CLICK = str(make_id(1))


@pytest.fixture
async def writer(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    return await make_holder(app, pool, clock(), scopes=("projects:write", "projects:read"))


class TestRequest:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/v1/erasures", json={"click_id": CLICK})).status_code == 401

    async def test_reading_is_not_enough(self, holder: KeyHolder) -> None:
        answer = await holder.api.post("/v1/erasures", json={"click_id": CLICK})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")

    async def test_is_pending_and_asked_again_the_same(self, writer: KeyHolder, pool: asyncpg.Pool) -> None:
        answer = await writer.api.post("/v1/erasures", json={"click_id": CLICK.upper()})
        assert answer.status_code == 202, answer.text
        first = answer.json()["data"]
        assert {
            name: first[name] for name in ("kind", "status", "click_id", "visit_id", "whole_visitor")
        } == {
            "kind": "click",
            "status": "pending",
            "click_id": CLICK,
            "visit_id": None,
            "whole_visitor": False,
        }
        again = await writer.api.post("/v1/erasures", json={"click_id": CLICK})
        assert (again.status_code, again.json()["data"]) == (200, first)
        audit = await pool.fetch("SELECT action, entity_id, after FROM audit_log")
        assert [tuple(row) for row in audit if row["action"] == "erasure.request"] == [
            ("erasure.request", first["id"], {"kind": "click", "whole_visitor": False})
        ]

    async def test_another_tenants_rows_are_not_among_it(
        self, writer: KeyHolder, foreign_holder: KeyHolder, pool: asyncpg.Pool
    ) -> None:
        (click_id,) = await add_clicks(pool, foreign_holder.tenant_id, {}, first=9)
        assert (await writer.api.post("/v1/erasures", json={"click_id": click_id})).status_code == 202
        assert (await foreign_holder.api.get("/v1/erasures")).json()["data"] == []

    async def test_takes_a_visitor_of_a_day(self, writer: KeyHolder) -> None:
        said = {"visitor_id": "00FF00ff00ff00ff", "day": "2026-03-01"}
        data = (await writer.api.post("/v1/erasures", json=said)).json()["data"]
        assert (data["kind"], data["visitor_id"], data["day"]) == (
            "visitor",
            "00ff00ff00ff00ff",
            "2026-03-01",
        )

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["body"]),
            ({"click_id": "a", "visit_id": "b"}, ["body"]),
            ({"click_id": ""}, ["click_id"]),
            ({"click_id": "x" * 256}, ["click_id"]),
            ({"click_id": 7}, ["click_id"]),
            ({"visitor_id": "00ff00ff00ff00ff"}, ["day"]),
            ({"visitor_id": "somebody", "day": "2026-03-01"}, ["visitor_id"]),
            ({"visitor_id": "00ff00ff00ff00ff", "day": "2026-02-30"}, ["day"]),
            ({"visitor_id": "00ff00ff00ff00ff", "whole_visitor": True}, ["day", "whole_visitor"]),
            ({"click_id": "a", "day": "2026-03-01"}, ["day"]),
        ],
        ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
    )
    async def test_bad_bodies_are_named(
        self, writer: KeyHolder, body: dict[str, Any], fields: list[str]
    ) -> None:
        answer = await writer.api.post("/v1/erasures", json=body)
        assert answer.status_code == 400, answer.text
        assert [fault["field"] for fault in answer.json()["error"]["details"]["errors"]] == fields

    async def test_zero_characters_are_no_fault_of_ours(self, writer: KeyHolder) -> None:
        answer = await writer.api.post("/v1/erasures", json={"click_id": "a\0b"})
        assert answer.status_code == 400


class TestRead:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        for path in ("/v1/erasures", f"/v1/erasures/{CLICK}"):
            assert (await anonymous.get(path)).status_code == 401

    async def test_another_tenants_is_not_there(self, writer: KeyHolder, foreign_holder: KeyHolder) -> None:
        made = (await writer.api.post("/v1/erasures", json={"click_id": CLICK})).json()["data"]
        answer = await foreign_holder.api.get(f"/v1/erasures/{made['id']}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")

    async def test_lists_newest_first_page_by_page(self, writer: KeyHolder) -> None:
        made = [
            (await writer.api.post("/v1/erasures", json={"visit_id": str(make_id(n))})).json()["data"]
            for n in range(3)
        ]
        assert (await writer.api.get(f"/v1/erasures/{made[0]['id']}")).json()["data"] == made[0]
        first = (await writer.api.get("/v1/erasures?per_page=2")).json()
        assert first["data"] == [made[2], made[1]]
        assert first["pagination"]["total"] == 3
        cursor = first["pagination"]["next_cursor"]
        assert (await writer.api.get(f"/v1/erasures?per_page=2&cursor={cursor}")).json()["data"] == [made[0]]

    @pytest.mark.parametrize("erasure_id", [CLICK, "nothing"])
    async def test_what_is_not_there(self, writer: KeyHolder, erasure_id: str) -> None:
        assert (await writer.api.get(f"/v1/erasures/{erasure_id}")).status_code == 404
