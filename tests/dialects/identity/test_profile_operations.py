from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.domains.users.avatars import LIBRARY
from tests.builders import LinkRow, insert_link
from tests.dialects.audit_trail import read_audit

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

UNLIMITED = 2**31 - 1

CHANGES: dict[str, Any] = {
    "full_name": "Zoë Example",
    "slogan": "Go",
    "about_me": "Two\nlines",
    "company_name": "Acme",
    "website_name": "acme.example",
    "birth_date": "1990-02-28",
    "gender": "PreferNotToSay",
    "email_tell_me": True,
    "sms_tell_me": True,
    "push_tell_me": True,
    "telegram_tell_me": True,
}


async def add_clicks(pool: asyncpg.Pool, member: Member, moment: str, **counts: int) -> None:
    """Put a slot of clicks on a link of the member's tenant."""
    link = LinkRow(member.tenant_id, member.user_id, uuid.uuid4().hex)
    async with pool.acquire() as db:
        await insert_link(db, link)
    counts = {"clicks": 0, "prefetches": 0} | counts
    await pool.execute(
        "INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, clicks, prefetches)"
        " VALUES ($1, 1, $2, $3, CAST($4::text AS timestamptz), $5, $6)",
        member.tenant_id,
        link.id,
        link.variants[0].id,
        moment,
        *counts.values(),
    )


class TestGetMe:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        answer = await anonymous.get("/v1/users/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")

    async def test_a_viewer_sees_themselves(self, viewer: Member, member: Member) -> None:
        body = (await viewer.api.get("/v1/users/me")).json()
        assert body["id"] == str(viewer.user_id) != str(member.user_id)
        assert (body["email"], body["email_verified"], body["phone_number"]) == (viewer.email, False, None)
        assert (body["is_admin"], body["is_tenant_admin"], body["role"]) == (False, False, "viewer")
        assert body["register_date"] == body["last_active_date"] == "2026-05-04T10:20:30Z"

    async def test_an_admin_and_a_superadmin_are_told_apart(self, member: Member, superadmin: Member) -> None:
        body = (await member.api.get("/v1/users/me")).json()
        assert (body["is_admin"], body["is_tenant_admin"]) == (False, True)
        assert (await superadmin.api.get("/v1/users/me")).json()["is_admin"] is True

    async def test_without_a_limit_the_counts_of_renders_say_so(self, member: Member) -> None:
        body = (await member.api.get("/v1/users/me")).json()
        assert (body["max_daily_render_count"], body["daily_remain_render_count"]) == (UNLIMITED, UNLIMITED)
        assert body["parallel_rendering_ceiling"] == 4

    async def test_todays_redirects_are_taken_off(
        self, member: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        await pool.execute("UPDATE tenants SET monthly_render_qty = 301 WHERE id = $1", member.tenant_id)
        await add_clicks(pool, member, "2026-05-03T23:00Z", clicks=3)
        await add_clicks(pool, member, "2026-05-04T00:00Z", clicks=4, prefetches=2)
        await add_clicks(pool, stranger, "2026-05-04T10:00Z", clicks=7)
        body = (await member.api.get("/v1/users/me")).json()
        assert (body["max_daily_render_count"], body["daily_remain_render_count"]) == (11, 9)
        await add_clicks(pool, member, "2026-05-04T10:00Z", clicks=100)
        assert (await member.api.get("/v1/users/me")).json()["daily_remain_render_count"] == 0


class TestUpdateMe:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.patch("/v1/users/me", json={"slogan": "x"})).status_code == 401

    async def test_changes_every_field_and_nobody_else(
        self, viewer: Member, member: Member, pool: asyncpg.Pool
    ) -> None:
        answer = await viewer.api.patch("/v1/users/me", json=CHANGES)
        assert answer.status_code == 200
        body = answer.json()
        assert {name: body[name] for name in CHANGES} == CHANGES
        assert (await viewer.api.get("/v1/users/me")).json() == body
        assert (await member.api.get("/v1/users/me")).json()["full_name"] is None
        (entry,) = await read_audit(pool, "user.update_profile")
        assert entry["actor_id"] == viewer.user_id
        assert entry["before"]["slogan"] is None
        assert entry["after"] == CHANGES

    async def test_what_is_left_out_stays_and_null_clears(self, member: Member) -> None:
        await member.api.patch("/v1/users/me", json=CHANGES)
        body = (await member.api.patch("/v1/users/me", json={"gender": None, "birth_date": None})).json()
        assert (body["gender"], body["birth_date"], body["slogan"]) == (None, None, "Go")

    async def test_a_change_that_changes_nothing_is_not_recorded(
        self, member: Member, pool: asyncpg.Pool
    ) -> None:
        assert (await member.api.patch("/v1/users/me", json={"email_tell_me": False})).status_code == 200
        assert await read_audit(pool, "user.update_profile") == []

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("full_name", ""),
            ("full_name", "   "),
            ("full_name", "a\r\nBcc: x@example.com"),
            ("full_name", "a\n"),
            ("full_name", "a\u0000"),
            ("full_name", "x" * 201),
            ("about_me", "x" * 2001),
            ("birth_date", "2026-05-04"),
            ("birth_date", "1899-12-31"),
            ("birth_date", "31.12.1990"),
            ("gender", "male"),
            ("email_tell_me", None),
            ("email_tell_me", "yes"),
        ],
    )
    async def test_bad_values_are_named(self, member: Member, field: str, value: object) -> None:
        answer = await member.api.patch("/v1/users/me", json={field: value})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
        body = (await member.api.get("/v1/users/me")).json()
        assert body[field] in {None, False}

    async def test_address_and_rights_are_not_changed_here(self, viewer: Member) -> None:
        changes = {"email": "new@example.com", "role": "admin", "is_admin": True, "balance_minor": 5}
        body = (await viewer.api.patch("/v1/users/me", json=changes)).json()
        assert (body["email"], body["role"], body["is_admin"]) == (viewer.email, "viewer", False)
        assert body["balance_minor"] == 0


class TestBalance:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/users/me/balance")).status_code == 401

    async def test_gives_the_callers_own(self, member: Member, viewer: Member, pool: asyncpg.Pool) -> None:
        await pool.execute(
            "UPDATE users SET balance_minor = $2, affiliate_balance_minor = 7, currency = 'IRR'"
            " WHERE id = $1",
            member.user_id,
            5_000_000_000,
        )
        await pool.execute("UPDATE tenants SET monthly_render_qty = 60, plan_code = 'scale'")
        assert (await member.api.get("/v1/users/me/balance")).json() == {
            "balance_minor": 5_000_000_000,
            "affiliate_balance_minor": 7,
            "currency": "IRR",
            "daily_remain_render_count": 2,
            "parallel_rendering_ceiling": 16,
        }
        assert (await viewer.api.get("/v1/users/me/balance")).json()["balance_minor"] == 0


class TestAvatar:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/v1/users/me/avatar", json={})).status_code == 401
        assert (await anonymous.get("/v1/avatars")).status_code == 401

    async def test_a_listed_picture_can_be_picked_and_seen(
        self, viewer: Member, anonymous: httpx.AsyncClient, pool: asyncpg.Pool
    ) -> None:
        listed = (await viewer.api.get("/v1/avatars")).json()["data"]
        assert len(listed) == len(LIBRARY) > 5
        assert len({avatar["name"] for avatar in listed}) == len(listed)
        picked = listed[3]
        answer = await viewer.api.post("/v1/users/me/avatar", json={"avatar_id": picked["id"]})
        assert (answer.status_code, answer.json()["avatar_url"]) == (200, picked["url"])
        assert (await viewer.api.get("/v1/users/me")).json()["avatar_id"] == picked["id"]
        drawing = await anonymous.get(picked["url"].removeprefix("http://127.0.0.1:8000"))
        assert drawing.status_code == 200
        assert drawing.headers["Content-Type"].startswith("image/svg+xml")
        assert drawing.headers["X-Content-Type-Options"] == "nosniff"
        assert drawing.text.startswith("<svg ")
        (entry,) = await read_audit(pool, "user.update_profile")
        assert entry["after"]["avatar_id"] == picked["id"]

    async def test_an_address_takes_its_place(self, member: Member) -> None:
        listed = (await member.api.get("/v1/avatars")).json()["data"]
        await member.api.post("/v1/users/me/avatar", json={"avatar_id": listed[0]["id"]})
        url = "https://cdn.example.com/me.png?size=64"
        answer = await member.api.post("/v1/users/me/avatar", json={"avatar_url": url})
        assert (answer.status_code, answer.json()["avatar_url"]) == (200, url)
        assert (await member.api.get("/v1/users/me")).json()["avatar_id"] is None

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"avatar_id": None, "avatar_url": None},
            {"avatar_id": str(next(iter(LIBRARY))), "avatar_url": "https://a.example/x.png"},
            {"avatar_id": "0198c0de-0000-7000-8000-000000000000"},
            {"avatar_id": "first"},
            {"avatar_url": "http://a.example/x.png"},
            {"avatar_url": "javascript:alert(1)"},
            {"avatar_url": "https://localhost/x.png"},
            {"avatar_url": "https://10.1.2.3/x.png"},
            {"avatar_url": "https://[::ffff:127.0.0.1]/x.png"},
            {"avatar_url": 'https://a.example/x.png" onerror="x'},
            {"avatar_url": "https://a.example/" + "x" * 2048},
        ],
    )
    async def test_anything_else_is_refused(self, member: Member, body: dict[str, Any]) -> None:
        answer = await member.api.post("/v1/users/me/avatar", json=body)
        assert answer.status_code == 422, answer.text
        assert (await member.api.get("/v1/users/me")).json()["avatar_url"] is None

    @pytest.mark.parametrize("name", ["x", "0198c0de-0000-7000-8000-000000000000.svg", "..%2f..%2fetc"])
    async def test_what_is_no_picture_is_not_there(self, anonymous: httpx.AsyncClient, name: str) -> None:
        answer = await anonymous.get(f"/v1/avatars/{name}")
        assert answer.status_code == 404


class TestLastActivity:
    async def test_is_noted_as_the_user_calls(self, app: Any, member: Member, clock: SetClock) -> None:
        clock.advance(minutes=10)
        await member.api.get("/v1/users/me")
        await app.state.services.usage.flush()
        body = (await member.api.get("/v1/users/me")).json()
        assert body["last_active_date"] == "2026-05-04T10:30:30Z"
