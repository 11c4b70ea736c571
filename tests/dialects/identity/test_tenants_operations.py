from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.audit_trail import read_audit

if TYPE_CHECKING:
    import uuid

    import asyncpg
    import httpx

    from tests.dialects.members import Member

NEW = {"slug": "acme-corp", "name": "Acme Corp", "contact_email": "hello@example.com"}
NOBODY = "0198c0de-0000-7000-8000-000000000000"

CHANGES: dict[str, Any] = {
    "name": "Acme & Sons",
    "contact_name": "Al",
    "contact_email": "al@example.com",
    "contact_phone": "030 12345",
    "billing_email": "bills@example.com",
    "allowed_origins": ["https://shop.example:8443", "http://localhost:3000"],
}


async def slug_of(pool: asyncpg.Pool, tenant_id: uuid.UUID) -> str:
    slug: str = await pool.fetchval("SELECT slug FROM tenants WHERE id = $1", tenant_id)
    return slug


async def add_domain(pool: asyncpg.Pool, tenant_id: uuid.UUID, domain: str, status: str) -> None:
    await pool.execute(
        "INSERT INTO custom_domains (tenant_id, id, domain, method, challenge, status, created_at,"
        " expires_at, verified_at)"
        " VALUES ($1, gen_random_uuid(), $2, 'DNS_TXT', 'x', $3, now(), now(), now())",
        tenant_id,
        domain,
        status,
    )


class TestListTenants:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/tenants")).status_code == 401

    async def test_an_admin_may_not(self, member: Member) -> None:
        answer = await member.api.get("/v1/tenants")
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_a_superadmin_sees_all_newest_first(
        self, superadmin: Member, member: Member, stranger: Member
    ) -> None:
        body = (await superadmin.api.get("/v1/tenants")).json()
        ids = [tenant["id"] for tenant in body["data"]]
        assert ids == [str(one.tenant_id) for one in (stranger, member, superadmin)]
        assert body["meta"] == {"page": 1, "page_size": 20, "total": 3, "has_more": False}
        second = (await superadmin.api.get("/v1/tenants?page=2&page_size=2")).json()
        assert [tenant["id"] for tenant in second["data"]] == ids[2:]

    async def test_bad_pages_are_named(self, superadmin: Member) -> None:
        assert (await superadmin.api.get("/v1/tenants?page_size=0")).status_code == 422


class TestCreateTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/v1/tenants", json=NEW)).status_code == 401

    async def test_an_admin_may_not(self, member: Member, pool: asyncpg.Pool) -> None:
        before = await pool.fetchval("SELECT count(*) FROM tenants")
        assert (await member.api.post("/v1/tenants", json=NEW)).status_code == 403
        assert await pool.fetchval("SELECT count(*) FROM tenants") == before

    async def test_makes_one(self, superadmin: Member, pool: asyncpg.Pool) -> None:
        full = NEW | {"kind": "Reseller", "contact_name": "Al", "contact_phone": "+49 (30) 123-45"}
        answer = await superadmin.api.post("/v1/tenants", json=full)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert {name: body[name] for name in full} == full
        assert (body["status"], body["custom_domain"], body["domain_verified"]) == ("Active", None, False)
        assert (await superadmin.api.get(f"/v1/tenants/{body['id']}")).json() == body
        (entry,) = await read_audit(pool, "tenant.create")
        assert str(entry["tenant_id"]) == entry["entity_id"] == body["id"]
        assert entry["actor_id"] == superadmin.user_id

    async def test_a_slug_has_one_tenant(self, superadmin: Member) -> None:
        assert (await superadmin.api.post("/v1/tenants", json=NEW)).status_code == 201
        answer = await superadmin.api.post("/v1/tenants", json=NEW | {"name": "Other"})
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant_slug_taken")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"slug": "ab"}, "slug"),
            ({"slug": "a" * 64}, "slug"),
            ({"slug": "Acme"}, "slug"),
            ({"slug": "-acme"}, "slug"),
            ({"slug": "acme-"}, "slug"),
            ({"slug": "ac_me"}, "slug"),
            ({"slug": "acme\n"}, "slug"),
            ({"slug": "xn--acme"}, "slug"),
            ({"slug": "admin"}, "slug"),
            ({"slug": "äcme"}, "slug"),
            ({"name": " "}, "name"),
            ({"kind": "Internal"}, "kind"),
            ({"contact_email": "nobody"}, "contact_email"),
            ({"contact_email": None}, "contact_email"),
            ({"contact_phone": "call me"}, "contact_phone"),
        ],
    )
    async def test_bad_bodies_are_named(
        self, superadmin: Member, pool: asyncpg.Pool, changes: dict[str, Any], field: str
    ) -> None:
        answer = await superadmin.api.post("/v1/tenants", json=NEW | changes)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]
        assert await pool.fetchval("SELECT count(*) FROM tenants") == 1


class TestResolveTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/tenants/by-slug/acme")).status_code == 401

    async def test_finds_ones_own_with_all_of_it(self, viewer: Member, pool: asyncpg.Pool) -> None:
        await pool.execute(
            "UPDATE tenants SET contact_email = 'a@example.com', max_users = 5 WHERE id = $1",
            viewer.tenant_id,
        )
        body = (await viewer.api.get("/v1/tenants/by-slug/acme")).json()
        assert (body["id"], body["slug"]) == (str(viewer.tenant_id), "acme")
        assert (body["contact_email"], body["max_users"]) == ("a@example.com", 5)

    async def test_shows_of_another_one_what_is_public(
        self, viewer: Member, stranger: Member, superadmin: Member, pool: asyncpg.Pool
    ) -> None:
        await pool.execute(
            "UPDATE tenants SET contact_email = 'a@example.com', max_users = 5, max_storage_gb = 5,"
            " monthly_render_qty = 5, trial_ends_at = now() WHERE id = $1",
            stranger.tenant_id,
        )
        path = f"/v1/tenants/by-slug/{await slug_of(pool, stranger.tenant_id)}"
        body = (await viewer.api.get(path)).json()
        assert (body["id"], body["name"], body["status"]) == (str(stranger.tenant_id), "Acme", "Active")
        assert "contact_email" not in body
        hidden = ("max_users", "max_storage_gb", "monthly_render_qty", "trial_ends_at")
        assert [body[name] for name in hidden] == [None] * 4
        assert (await superadmin.api.get(path)).json()["contact_email"] == "a@example.com"

    async def test_another_ones_end_is_nobodys_business(
        self, viewer: Member, stranger: Member, superadmin: Member, pool: asyncpg.Pool
    ) -> None:
        await pool.execute("UPDATE tenants SET status = 'Suspended' WHERE id = $1", stranger.tenant_id)
        path = f"/v1/tenants/by-slug/{await slug_of(pool, stranger.tenant_id)}"
        assert (await viewer.api.get(path)).status_code == 404
        assert (await superadmin.api.get(path)).json()["status"] == "Suspended"

    async def test_finds_by_a_proven_domain(
        self, member: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        await add_domain(pool, stranger.tenant_id, "go.example.com", "pending")
        await add_domain(pool, member.tenant_id, "go.example.com", "verified")
        for name in ("go.example.com", "GO.Example.com."):
            body = (await stranger.api.get(f"/v1/tenants/by-slug/{name}")).json()
            assert (body["id"], body["custom_domain"]) == (str(member.tenant_id), "go.example.com")
            assert body["domain_verified"] is True
        own = (await stranger.api.get(f"/v1/tenants/{stranger.tenant_id}")).json()
        assert (own["custom_domain"], own["domain_verified"]) == (None, False)

    @pytest.mark.parametrize(
        "name", ["nobody", "ACME", "other.example.com", "1.2.3.4", "a..b", "%00", "%20", "%ff", "a.%00"]
    )
    async def test_what_nobody_has_is_not_there(self, member: Member, name: str) -> None:
        answer = await member.api.get(f"/v1/tenants/by-slug/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")


class TestGetTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.get(f"/v1/tenants/{member.tenant_id}")).status_code == 401

    async def test_another_tenant_is_not_there(self, member: Member, stranger: Member) -> None:
        for tenant_id in (stranger.tenant_id, NOBODY, "x"):
            answer = await member.api.get(f"/v1/tenants/{tenant_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_a_viewer_reads_their_own(self, viewer: Member, superadmin: Member) -> None:
        path = f"/v1/tenants/{viewer.tenant_id}"
        body = (await viewer.api.get(path)).json()
        assert (body["name"], body["kind"], body["status"]) == ("Acme", "Enterprise", "Active")
        assert (body["created_at"], body["trial_ends_at"]) == ("2026-05-04T10:20:30Z", None)
        assert "contact_email" not in body
        assert (await superadmin.api.get(path)).json() == body
        assert (await superadmin.api.get(f"/v1/tenants/{NOBODY}")).status_code == 404


class TestUpdateTenant:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.patch(f"/v1/tenants/{member.tenant_id}", json={})).status_code == 401

    async def test_a_viewer_may_not(self, viewer: Member) -> None:
        answer = await viewer.api.patch(f"/v1/tenants/{viewer.tenant_id}", json={"name": "Mine"})
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_another_tenant_is_not_there(self, member: Member, stranger: Member) -> None:
        answer = await member.api.patch(f"/v1/tenants/{stranger.tenant_id}", json={"name": "Mine"})
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_changes_every_field(self, member: Member, stranger: Member, pool: asyncpg.Pool) -> None:
        path = f"/v1/tenants/{member.tenant_id}"
        answer = await member.api.patch(path, json=CHANGES)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert {name: body[name] for name in CHANGES} == CHANGES
        assert (await member.api.get(path)).json() == body
        theirs = (await stranger.api.get(f"/v1/tenants/{stranger.tenant_id}")).json()
        assert (theirs["name"], theirs["allowed_origins"]) == ("Acme", [])
        (entry,) = await read_audit(pool, "tenant.update")
        assert entry["before"]["name"] == "Acme"
        assert entry["after"] == CHANGES

    async def test_null_clears_and_nothing_changes_nothing(self, member: Member, pool: asyncpg.Pool) -> None:
        path = f"/v1/tenants/{member.tenant_id}"
        await member.api.patch(path, json=CHANGES)
        body = (await member.api.patch(path, json={"billing_email": None, "allowed_origins": []})).json()
        assert (body["billing_email"], body["allowed_origins"], body["contact_name"]) == (None, [], "Al")
        await member.api.patch(path, json={"billing_email": None})
        assert len(await read_audit(pool, "tenant.update")) == 2

    async def test_a_superadmin_changes_any(
        self, superadmin: Member, member: Member, pool: asyncpg.Pool
    ) -> None:
        path = f"/v1/tenants/{member.tenant_id}"
        assert (await superadmin.api.patch(path, json={"name": "New"})).json()["name"] == "New"
        (entry,) = await read_audit(pool, "tenant.update")
        assert (entry["tenant_id"], entry["actor_id"]) == (member.tenant_id, superadmin.user_id)
        assert (await superadmin.api.patch(f"/v1/tenants/{NOBODY}", json={"name": "x"})).status_code == 404

    async def test_another_retention_has_everything_looked_at_anew(
        self, member: Member, pool: asyncpg.Pool
    ) -> None:
        path = f"/v1/tenants/{member.tenant_id}"
        assert (await member.api.get(path)).json()["event_retention_days"] is None
        for days, marks in ((30, 0), (30, 1), (60, 0), (None, 0)):
            body = (await member.api.patch(path, json={"event_retention_days": days})).json()
            assert body["event_retention_days"] == days
            assert await pool.fetchval("SELECT count(*) FROM retention_marks") == marks
            await pool.execute(
                "INSERT INTO retention_marks VALUES ($1, 'clicks', $1) ON CONFLICT DO NOTHING",
                member.tenant_id,
            )

    async def test_origins_are_normalised_and_kept_once(self, member: Member) -> None:
        given = [
            "https://Shop.example:443",
            "https://shop.example/",
            "https://bücher.example",
            "http://[::1]:80",
        ]
        answer = await member.api.patch(f"/v1/tenants/{member.tenant_id}", json={"allowed_origins": given})
        assert answer.json()["allowed_origins"] == [
            "https://shop.example",
            "https://xn--bcher-kva.example",
            "http://[::1]",
        ]

    @pytest.mark.parametrize(
        "origin",
        [
            "*",
            "null",
            "https://*.example.com",
            "http://shop.example",
            "https://shop.example/x",
            "shop.example",
        ],
    )
    async def test_bad_origins_are_named(self, member: Member, origin: str) -> None:
        path = f"/v1/tenants/{member.tenant_id}"
        body = {"allowed_origins": ["https://fine.example", origin]}
        answer = await member.api.patch(path, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "allowed_origins[1]")
        assert (await member.api.get(path)).json()["allowed_origins"] == []

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": None}, "name"),
            ({"name": ""}, "name"),
            ({"contact_email": "x"}, "contact_email"),
            ({"contact_email": None}, "contact_email"),
            ({"billing_email": "x"}, "billing_email"),
            ({"contact_phone": "12"}, "contact_phone"),
            ({"allowed_origins": [f"https://a{n}.example" for n in range(51)]}, "allowed_origins"),
            ({"allowed_origins": "https://a.example"}, "allowed_origins"),
            ({"event_retention_days": 0}, "event_retention_days"),
            ({"event_retention_days": 3651}, "event_retention_days"),
            ({"event_retention_days": "7"}, "event_retention_days"),
        ],
    )
    async def test_bad_bodies_are_named(self, member: Member, changes: dict[str, Any], field: str) -> None:
        answer = await member.api.patch(f"/v1/tenants/{member.tenant_id}", json=changes)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
