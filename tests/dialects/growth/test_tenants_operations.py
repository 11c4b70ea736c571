from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.audit_trail import read_audit

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.members import Member

NEW = {
    "name": "Acme Corp",
    "slug": "acme-corp",
    "plan": "professional",
    "max_users": 10,
    "max_campaigns": 100,
}
"""The contract's own example."""


async def path_of(pool: asyncpg.Pool, member: Member) -> str:
    number = await pool.fetchval("SELECT number FROM tenants WHERE id = $1", member.tenant_id)
    return f"/api/v1/tenants/{number}"


class TestListTenants:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/api/v1/tenants")).status_code == 401

    async def test_an_admin_may_not(self, member: Member) -> None:
        answer = await member.api.get("/api/v1/tenants")
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_REQUIRED")

    async def test_a_superadmin_sees_all(
        self, superadmin: Member, member: Member, pool: asyncpg.Pool
    ) -> None:
        body = (await superadmin.api.get("/api/v1/tenants?limit=1")).json()
        assert {key: body[key] for key in body if key != "items"} == {
            "total": 2,
            "page": 1,
            "limit": 1,
            "pages": 2,
            "has_next": True,
            "has_prev": False,
        }
        (tenant,) = body["items"]
        assert f"/api/v1/tenants/{tenant['id']}" == await path_of(pool, member)


class TestGetTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member, pool: asyncpg.Pool) -> None:
        assert (await anonymous.get(await path_of(pool, member))).status_code == 401

    async def test_another_tenant_is_not_there(
        self, member: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        for path in (await path_of(pool, stranger), "/api/v1/tenants/999999", "/api/v1/tenants/x"):
            answer = await member.api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "TENANT_NOT_FOUND")

    async def test_a_viewer_reads_their_own(
        self, viewer: Member, superadmin: Member, pool: asyncpg.Pool
    ) -> None:
        path = await path_of(pool, viewer)
        body = (await viewer.api.get(path)).json()
        assert body == {
            "id": int(path.rpartition("/")[2]),
            "name": "Acme",
            "slug": "acme",
            "plan": "growth",
            "max_users": None,
            "max_campaigns": None,
            "status": "Active",
            "created_at": "2026-05-04T10:20:30Z",
            "updated_at": "2026-05-04T10:20:30Z",
        }
        assert (await superadmin.api.get(path)).json() == body


class TestCreateTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/api/v1/tenants", json=NEW)).status_code == 401

    async def test_an_admin_may_not(self, member: Member) -> None:
        assert (await member.api.post("/api/v1/tenants", json=NEW)).status_code == 403

    async def test_makes_one(self, superadmin: Member, pool: asyncpg.Pool) -> None:
        answer = await superadmin.api.post("/api/v1/tenants", json=NEW)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert {name: body[name] for name in NEW} == NEW
        assert body["status"] == "Active"
        assert (await superadmin.api.get(f"/api/v1/tenants/{body['id']}")).json() == body
        assert len(await read_audit(pool, "tenant.create")) == 1
        again = await superadmin.api.post("/api/v1/tenants", json=NEW)
        assert (again.status_code, again.json()["code"]) == (409, "TENANT_SLUG_TAKEN")

    async def test_what_is_left_out_has_no_limit(self, superadmin: Member) -> None:
        body = (await superadmin.api.post("/api/v1/tenants", json={"name": "A", "slug": "abc"})).json()
        assert (body["plan"], body["max_users"], body["max_campaigns"]) == ("free", None, None)

    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"plan": "gold"}, ["plan"]),
            ({"slug": "www", "plan": "gold"}, ["slug", "plan"]),
            ({"max_users": 0}, ["max_users"]),
            ({"max_users": 2**31}, ["max_users"]),
            ({"max_campaigns": "many"}, ["max_campaigns"]),
            ({"name": None}, ["name"]),
        ],
    )
    async def test_bad_bodies_are_named(
        self, superadmin: Member, changes: dict[str, Any], fields: list[str]
    ) -> None:
        answer = await superadmin.api.post("/api/v1/tenants", json=NEW | changes)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["details"]["errors"]] == fields


class TestUpdateTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member, pool: asyncpg.Pool) -> None:
        assert (await anonymous.patch(await path_of(pool, member), json={})).status_code == 401

    async def test_a_viewer_may_not(self, viewer: Member, pool: asyncpg.Pool) -> None:
        answer = await viewer.api.patch(await path_of(pool, viewer), json={"name": "Mine"})
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_REQUIRED")

    async def test_another_tenant_is_not_there(
        self, member: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        assert (await member.api.patch(await path_of(pool, stranger), json={"name": "x"})).status_code == 404

    async def test_an_admin_changes_the_name_alone(self, member: Member, pool: asyncpg.Pool) -> None:
        path = await path_of(pool, member)
        assert (await member.api.patch(path, json={"name": "New"})).json()["name"] == "New"
        for body in ({"plan": "enterprise"}, {"max_users": None}, {"max_campaigns": 5}, {"status": "Active"}):
            answer = await member.api.patch(path, json={"name": "Newer"} | body)
            assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_REQUIRED")
        assert (await member.api.get(path)).json()["name"] == "New"

    async def test_a_superadmin_changes_the_rest(
        self, superadmin: Member, member: Member, pool: asyncpg.Pool
    ) -> None:
        changes = {"plan": "enterprise", "max_users": 50, "max_campaigns": 5, "name": "New"}
        body = (await superadmin.api.patch(await path_of(pool, member), json=changes)).json()
        assert {name: body[name] for name in changes} == changes
        (entry,) = await read_audit(pool, "tenant.update")
        assert entry["before"]["plan_code"] == "growth"
        assert entry["after"]["plan_code"] == "enterprise"
        answer = await superadmin.api.patch(await path_of(pool, member), json={"plan": "gold"})
        assert answer.status_code == 422

    async def test_suspension_shuts_everybody_out(
        self, superadmin: Member, member: Member, viewer: Member, pool: asyncpg.Pool
    ) -> None:
        path = await path_of(pool, member)
        assert (await superadmin.api.patch(path, json={"status": "Suspended"})).status_code == 200
        for caller in (member, viewer):
            assert (await caller.api.get("/v1/users/me")).status_code == 401
        await superadmin.api.patch(path, json={"status": "Trial"})
        assert (await member.api.get("/v1/users/me")).status_code == 200

    async def test_nobody_shuts_themselves_out(self, superadmin: Member, pool: asyncpg.Pool) -> None:
        path = await path_of(pool, superadmin)
        answer = await superadmin.api.patch(path, json={"status": "Cancelled"})
        assert (answer.status_code, answer.json()["code"]) == (409, "OWN_TENANT_NEEDED")
