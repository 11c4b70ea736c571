from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Role
from control_plane.core.tokens import issue_token
from tests.dialects.audit_trail import read_audit
from tests.dialects.links.conftest import make_caller
from tests.dialects.members import make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

NOBODY = "0198c0de-0000-7000-8000-000000000000"


@pytest.fixture
async def manager(
    app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member
) -> Member:
    return await make_member(app, pool, settings, clock(), tenant_id=member.tenant_id, role=Role.MANAGER)


class TestGetUser:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.get(f"/v1/users/{member.user_id}")).status_code == 401

    async def test_a_manager_may_not(self, manager: Member, viewer: Member) -> None:
        for user_id in (viewer.user_id, manager.user_id, NOBODY):
            answer = await manager.api.get(f"/v1/users/{user_id}")
            assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_another_tenants_user_is_not_there(self, stranger: Member, viewer: Member) -> None:
        for user_id in (viewer.user_id, NOBODY, "x"):
            answer = await stranger.api.get(f"/v1/users/{user_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")

    async def test_an_admin_and_a_superadmin_see_them(
        self, member: Member, superadmin: Member, viewer: Member
    ) -> None:
        for caller in (member, superadmin):
            body = (await caller.api.get(f"/v1/users/{viewer.user_id}")).json()
            assert (body["id"], body["email"]) == (str(viewer.user_id), viewer.email)
            assert body["tenant_id"] == str(member.tenant_id)
        for user_id in (NOBODY, "x"):
            assert (await superadmin.api.get(f"/v1/users/{user_id}")).status_code == 404


class TestListUsers:
    async def emails(self, caller: Member, query: str = "") -> list[str]:
        answer = await caller.api.get(f"/v1/users{query}")
        assert answer.status_code == 200, answer.text
        return [user["email"] for user in answer.json()["data"]]

    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/users")).status_code == 401

    async def test_a_manager_may_not(self, manager: Member) -> None:
        assert (await manager.api.get("/v1/users")).status_code == 403

    async def test_an_admin_sees_their_own_tenant(
        self, member: Member, viewer: Member, stranger: Member
    ) -> None:
        emails = await self.emails(member)
        assert {member.email, viewer.email} <= set(emails)
        assert len(emails) == 3
        assert stranger.email not in emails
        assert emails == await self.emails(member, f"?tenant_id={member.tenant_id}")

    async def test_an_admin_may_not_name_another_tenant(self, member: Member, stranger: Member) -> None:
        answer = await member.api.get(f"/v1/users?tenant_id={stranger.tenant_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_a_superadmin_sees_all_or_one_tenant(
        self, superadmin: Member, member: Member, stranger: Member
    ) -> None:
        assert {superadmin.email, member.email, stranger.email} <= set(await self.emails(superadmin))
        of_one = await self.emails(superadmin, f"?tenant_id={stranger.tenant_id}")
        assert stranger.email in of_one
        assert member.email not in of_one
        assert await self.emails(superadmin, f"?tenant_id={NOBODY}") == []

    async def test_searches_addresses_names_and_numbers(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member
    ) -> None:
        made: dict[str, Any] = {
            "email": "Zoe.Example@example.com",
            "full_name": "Zoë Quick",
            "phone_number": "+4915112345678",
        }
        await make_member(app, pool, settings, clock(), tenant_id=member.tenant_id, **made)
        for text in ("zoe.ex", "EXAMPLE.COM", "quick", "zoë", "%2B4915112"):
            assert await self.emails(member, f"?q={text}") == [made["email"]], text
        for text in ("%25", "_", "zoe%25", "nobody"):
            assert await self.emails(member, f"?q={text}") == [], text
        assert len(await self.emails(member, "?q=")) == 3

    async def test_pages(self, member: Member, viewer: Member) -> None:
        answer = (await member.api.get("/v1/users?page=2&page_size=2")).json()
        assert answer["meta"] == {"page": 2, "page_size": 2, "total": 3, "has_more": False}
        assert len(answer["data"]) == 1
        first = (await member.api.get("/v1/users?page_size=2")).json()
        assert first["meta"]["has_more"] is True
        assert viewer.email in {user["email"] for user in first["data"]}

    @pytest.mark.parametrize("query", ["page=0", "page_size=101", "page=x", "tenant_id=x", "q=" + "x" * 201])
    async def test_bad_queries_are_named(self, member: Member, query: str) -> None:
        answer = await member.api.get(f"/v1/users?{query}")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


class TestBan:
    async def ban(self, caller: Member, user_id: object, **body: object) -> httpx.Response:
        return await caller.api.post(f"/v1/users/{user_id}/ban", json={"reason": "Spam"} | body)

    async def test_anonymous(self, anonymous: httpx.AsyncClient, viewer: Member) -> None:
        answer = await anonymous.post(f"/v1/users/{viewer.user_id}/ban", json={"reason": "Spam"})
        assert answer.status_code == 401

    async def test_a_manager_may_not(self, manager: Member, viewer: Member) -> None:
        assert (await self.ban(manager, viewer.user_id)).status_code == 403
        assert (await viewer.api.get("/v1/users/me")).status_code == 200

    async def test_another_tenants_user_is_not_there(self, stranger: Member, viewer: Member) -> None:
        for user_id in (viewer.user_id, NOBODY, "x"):
            answer = await self.ban(stranger, user_id)
            assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")
        assert (await viewer.api.get("/v1/users/me")).status_code == 200

    async def test_ends_every_session_at_once_and_for_good(
        self,
        member: Member,
        viewer: Member,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
    ) -> None:
        answer = await self.ban(member, viewer.user_id)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await viewer.api.get("/v1/users/me")).status_code == 401
        refresh = {"refresh_token": viewer.tokens.refresh_token}
        assert (await anonymous.post("/v1/auth/refresh", json=refresh)).status_code == 401
        await member.api.post(f"/v1/users/{viewer.user_id}/unban")
        assert (await viewer.api.get("/v1/users/me")).status_code == 401
        (entry,) = await read_audit(pool, "user.ban")
        assert (entry["actor_id"], entry["entity_id"]) == (member.user_id, str(viewer.user_id))
        assert entry["after"]["reason"] == "Spam"
        assert entry["before"]["banned_at"] is None

    async def test_a_superadmin_bans_anybody_else(
        self, superadmin: Member, member: Member, pool: asyncpg.Pool
    ) -> None:
        await pool.execute(
            "UPDATE users SET is_active = false WHERE email <> ALL($1)", [superadmin.email, member.email]
        )
        assert (await self.ban(superadmin, member.user_id)).status_code == 204
        assert (await member.api.get("/v1/users/me")).status_code == 401
        (entry,) = await read_audit(pool, "user.ban")
        assert entry["tenant_id"] == member.tenant_id

    async def test_nobody_bans_themselves(self, member: Member, superadmin: Member) -> None:
        for caller in (member, superadmin):
            answer = await self.ban(caller, caller.user_id)
            assert (answer.status_code, answer.json()["code"]) == (409, "own_account")
            assert (await caller.api.get("/v1/users/me")).status_code == 200

    async def test_an_admin_does_not_ban_a_superadmin(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member
    ) -> None:
        above = await make_member(
            app, pool, settings, clock(), tenant_id=member.tenant_id, role=Role.VIEWER, is_superadmin=True
        )
        answer = await self.ban(member, above.user_id)
        assert (answer.status_code, answer.json()["code"]) == (403, "superadmin_protected")
        assert (await above.api.get("/v1/users/me")).status_code == 200

    async def test_two_admins_at_once_do_not_ban_each_other(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member
    ) -> None:
        other = await make_member(app, pool, settings, clock(), tenant_id=member.tenant_id)
        await pool.execute(
            "UPDATE users SET is_active = false WHERE id <> ALL($1)", [member.user_id, other.user_id]
        )
        answers = await asyncio.gather(self.ban(member, other.user_id), self.ban(other, member.user_id))
        assert min(answer.status_code for answer in answers) == 204
        assert {answer.status_code for answer in answers} <= {204, 401, 409}
        assert await pool.fetchval("SELECT count(*) FROM users WHERE banned_at IS NOT NULL") == 1

    async def test_its_end_may_have_an_offset(
        self, member: Member, viewer: Member, pool: asyncpg.Pool
    ) -> None:
        until = "2026-05-05T12:00:00+02:00"
        assert (await self.ban(member, viewer.user_id, unblock_date=until)).status_code == 204
        stored = await pool.fetchval("SELECT banned_until FROM users WHERE id = $1", viewer.user_id)
        assert stored.isoformat() == "2026-05-05T10:00:00+00:00"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"unblock_date": "2026-05-04T10:20:30Z"}, "unblock_date"),
            ({"unblock_date": "2020-01-01T00:00:00Z"}, "unblock_date"),
            ({"unblock_date": "2027-01-01T00:00:00"}, "unblock_date"),
            ({"unblock_date": "soon"}, "unblock_date"),
            ({"reason": ""}, "reason"),
            ({"reason": None}, "reason"),
            ({"reason": "x" * 201}, "reason"),
        ],
    )
    async def test_bad_bodies_are_named(
        self, member: Member, viewer: Member, body: dict[str, Any], field: str
    ) -> None:
        answer = await self.ban(member, viewer.user_id, **body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
        assert (await viewer.api.get("/v1/users/me")).status_code == 200

    async def test_a_token_without_a_session_is_refused_until_it_ends(
        self,
        settings: Settings,
        member: Member,
        viewer: Member,
        anonymous: httpx.AsyncClient,
        clock: SetClock,
    ) -> None:
        token = issue_token(
            viewer.user_id, secret=settings.jwt_secret, issuer=settings.jwt_issuer, now=clock(), ttl_s=864_000
        )
        headers = {"Authorization": f"Bearer {token}"}
        assert (await anonymous.get("/api/v1/public/keys", headers=headers)).status_code == 200
        until = "2026-05-05T10:00:00Z"
        await self.ban(member, viewer.user_id, unblock_date=until)
        assert (await anonymous.get("/api/v1/public/keys", headers=headers)).status_code == 401
        clock.advance(hours=23, minutes=40)
        assert (await anonymous.get("/api/v1/public/keys", headers=headers)).status_code == 200

    async def test_keys_are_refused_with_their_user(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, superadmin: Member
    ) -> None:
        caller = await make_caller(app, pool, settings, clock())
        user_id, refused = caller.account.user_id, []
        for path, body in (("ban", {"reason": "Spam"}), ("unban", None)):
            assert (await caller.api.get("/links")).status_code == 200
            answer = await superadmin.api.post(f"/v1/users/{user_id}/{path}", json=body)
            assert answer.status_code == 204
            refused.append((await caller.api.get("/links")).status_code)
            await pool.execute("UPDATE users SET banned_until = $1 WHERE banned_at IS NOT NULL", clock())
        assert refused == [401, 200]
        await pool.execute("UPDATE users SET deleted_at = created_at WHERE id = $1", user_id)
        assert (await caller.api.get("/links")).status_code == 401


class TestUnban:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, viewer: Member) -> None:
        assert (await anonymous.post(f"/v1/users/{viewer.user_id}/unban")).status_code == 401

    async def test_a_manager_may_not(self, manager: Member, viewer: Member) -> None:
        assert (await manager.api.post(f"/v1/users/{viewer.user_id}/unban")).status_code == 403

    async def test_another_tenants_user_is_not_there(self, stranger: Member, viewer: Member) -> None:
        for user_id in (viewer.user_id, uuid.uuid4(), "x"):
            assert (await stranger.api.post(f"/v1/users/{user_id}/unban")).status_code == 404

    async def test_lets_them_in_again(self, member: Member, viewer: Member, pool: asyncpg.Pool) -> None:
        path = f"/v1/users/{viewer.user_id}"
        await member.api.post(f"{path}/ban", json={"reason": "Spam"})
        for _ in range(2):
            assert (await member.api.post(f"{path}/unban")).status_code == 204
        row = await pool.fetchrow(
            "SELECT banned_at, banned_until, ban_reason FROM users WHERE id = $1", viewer.user_id
        )
        assert tuple(row or ()) == (None, None, None)
        assert len(await read_audit(pool, "user.unban")) == 1
