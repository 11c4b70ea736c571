from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import argon2
import pytest

from control_plane.core.actor import Role
from tests.dialects.audit_trail import read_audit
from tests.dialects.members import Member, make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock

NEW = {
    "email": "newuser@example.com",
    "full_name": "New User",
    "role": "analyst",
    "password": "TempPass123!",
}
"""The contract's own example."""


class Staff:
    """Signed-in users of one tenant, one of each role, and their numbers."""

    def __init__(self, members: dict[Role, Member], numbers: dict[Role, int], tenant_number: int) -> None:
        self.admin = members[Role.ADMIN]
        self.manager = members[Role.MANAGER]
        self.analyst = members[Role.ANALYST]
        self.viewer = members[Role.VIEWER]
        self.numbers = numbers
        self.tenant_number = tenant_number

    def path(self, role: Role) -> str:
        return f"/api/v1/users/{self.numbers[role]}"


@pytest.fixture
async def staff(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Staff:
    """The only users of a tenant who are not deleted."""
    admin = await make_member(app, pool, settings, clock())
    members = {Role.ADMIN: admin}
    for role in (Role.MANAGER, Role.ANALYST, Role.VIEWER):
        members[role] = await make_member(app, pool, settings, clock(), tenant_id=admin.tenant_id, role=role)
    await pool.execute(
        "UPDATE users SET deleted_at = created_at WHERE tenant_id = $1 AND id <> ALL($2)",
        admin.tenant_id,
        [one.user_id for one in members.values()],
    )
    numbers = {
        role: await pool.fetchval("SELECT number FROM users WHERE id = $1", one.user_id)
        for role, one in members.items()
    }
    number = await pool.fetchval("SELECT number FROM tenants WHERE id = $1", admin.tenant_id)
    return Staff(members, numbers, number)


class TestListUsers:
    async def ids(self, staff: Staff, query: str) -> list[int]:
        answer = await staff.manager.api.get(f"/api/v1/users?{query}")
        assert answer.status_code == 200, answer.text
        return [user["id"] for user in answer.json()["items"]]

    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        answer = await anonymous.get("/api/v1/users")
        assert answer.status_code == 401
        assert (answer.json()["success"], answer.json()["code"]) == (False, "MISSING_TOKEN")

    async def test_an_analyst_may_not(self, staff: Staff) -> None:
        for caller in (staff.analyst, staff.viewer):
            answer = await caller.api.get("/api/v1/users")
            assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_REQUIRED")

    async def test_a_manager_sees_their_own_tenant(self, staff: Staff, stranger: Member) -> None:
        body = (await staff.manager.api.get("/api/v1/users")).json()
        assert {key: body[key] for key in body if key != "items"} == {
            "total": 4,
            "page": 1,
            "limit": 20,
            "pages": 1,
            "has_next": False,
            "has_prev": False,
        }
        assert {user["id"] for user in body["items"]} == set(staff.numbers.values())
        assert {user["tenant_id"] for user in body["items"]} == {staff.tenant_number}
        (mine,) = [user for user in body["items"] if user["id"] == staff.numbers[Role.MANAGER]]
        assert mine == {
            "id": staff.numbers[Role.MANAGER],
            "email": staff.manager.email,
            "full_name": None,
            "role": "manager",
            "tenant_id": staff.tenant_number,
            "is_active": True,
            "email_verified": False,
            "last_active_at": None,
            "created_at": "2026-05-04T10:20:30Z",
            "updated_at": "2026-05-04T10:20:30Z",
        }
        assert stranger.email not in {user["email"] for user in body["items"]}

    async def test_filters(self, staff: Staff, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE users SET is_active = false WHERE id = $1", staff.viewer.user_id)
        assert await self.ids(staff, "role=admin") == [staff.numbers[Role.ADMIN]]
        assert await self.ids(staff, "is_active=false") == [staff.numbers[Role.VIEWER]]
        assert len(await self.ids(staff, "is_active=true")) == 3
        assert await self.ids(staff, "is_active=true&role=viewer") == []

    async def test_pages(self, staff: Staff) -> None:
        seen = await self.ids(staff, "limit=3") + await self.ids(staff, "limit=3&page=2")
        assert sorted(seen) == sorted(staff.numbers.values())
        body = (await staff.manager.api.get("/api/v1/users?limit=3&page=2")).json()
        assert (body["pages"], body["has_next"], body["has_prev"]) == (2, False, True)

    @pytest.mark.parametrize("query", ["role=owner", "is_active=maybe", "page=0", "limit=0", "limit=101"])
    async def test_bad_queries_are_named(self, staff: Staff, query: str) -> None:
        answer = await staff.manager.api.get(f"/api/v1/users?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID")
        assert answer.json()["details"]["errors"][0]["field"] == query.partition("=")[0]


class TestGetUser:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, staff: Staff) -> None:
        assert (await anonymous.get(staff.path(Role.VIEWER))).status_code == 401

    async def test_an_analyst_may_not(self, staff: Staff) -> None:
        assert (await staff.analyst.api.get(staff.path(Role.ANALYST))).status_code == 403

    async def test_another_tenants_user_is_not_there(self, staff: Staff, stranger: Member) -> None:
        for path in (staff.path(Role.VIEWER), "/api/v1/users/999999", f"/api/v1/users/{10**30}"):
            answer = await stranger.api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "USER_NOT_FOUND")
        for name in ("x", "0", "-1", "1.0", "\u0663", staff.viewer.user_id):
            assert (await staff.admin.api.get(f"/api/v1/users/{name}")).status_code == 404

    async def test_a_manager_reads(self, staff: Staff) -> None:
        body = (await staff.manager.api.get(staff.path(Role.ANALYST))).json()
        assert (body["id"], body["role"]) == (staff.numbers[Role.ANALYST], "analyst")
        assert "password" not in str(body)


class TestCreateUser:
    async def create(self, caller: Member, **changes: object) -> httpx.Response:
        return await caller.api.post("/api/v1/users", json=NEW | changes)

    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/api/v1/users", json=NEW)).status_code == 401

    async def test_a_manager_may_not(self, staff: Staff) -> None:
        for caller in (staff.manager, staff.analyst, staff.viewer):
            assert (await self.create(caller)).status_code == 403

    async def test_adds_to_the_callers_tenant(
        self, staff: Staff, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        answer = await self.create(staff.admin)
        assert answer.status_code == 201
        body = answer.json()
        assert {name: body[name] for name in ("email", "full_name", "role", "tenant_id", "is_active")} == {
            "email": "newuser@example.com",
            "full_name": "New User",
            "role": "analyst",
            "tenant_id": staff.tenant_number,
            "is_active": True,
        }
        path = f"/api/v1/users/{body['id']}"
        assert (await staff.admin.api.get(path)).json() == body
        assert (await stranger.api.get(path)).status_code == 404
        stored = await pool.fetchval("SELECT password_hash FROM users WHERE number = $1", body["id"])
        assert argon2.PasswordHasher().verify(stored, NEW["password"])
        (entry,) = await read_audit(pool, "user.create")
        assert entry["actor_id"] == staff.admin.user_id
        assert entry["after"]["role"] == "analyst"
        assert NEW["password"] not in str(entry)
        assert stored not in str(entry)

    async def test_an_address_is_free_in_another_tenant_only(self, staff: Staff, stranger: Member) -> None:
        assert (await self.create(staff.admin)).status_code == 201
        answer = await self.create(staff.admin, email="NewUser@EXAMPLE.com")
        assert (answer.status_code, answer.json()["code"]) == (409, "EMAIL_TAKEN")
        assert (await self.create(stranger)).status_code == 201

    async def test_seats_end(self, staff: Staff, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE tenants SET max_users = 6 WHERE id = $1", staff.admin.tenant_id)
        answers = await asyncio.gather(
            *(self.create(staff.admin, email=f"user{n}@example.com") for n in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"SEATS_TAKEN"}
        taken = await pool.fetchval(
            "SELECT count(*) FROM users WHERE tenant_id = $1 AND deleted_at IS NULL", staff.admin.tenant_id
        )
        assert taken == 6

    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"email": "x"}, ["email"]),
            ({"email": "a@b@example.com"}, ["email"]),
            ({"email": None}, ["email"]),
            ({"email": "a" * 250 + "@example.com"}, ["email"]),
            ({"role": "superadmin"}, ["role"]),
            ({"full_name": "a\nb"}, ["full_name"]),
            ({"password": "short"}, ["password"]),
            ({"email": "x", "password": "short"}, ["email", "password"]),
            ({"email": 5, "role": 5}, ["email", "role"]),
        ],
    )
    async def test_bad_bodies_are_named(
        self, staff: Staff, pool: asyncpg.Pool, changes: dict[str, Any], fields: list[str]
    ) -> None:
        before = await pool.fetchval("SELECT count(*) FROM users")
        answer = await self.create(staff.admin, **changes)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["details"]["errors"]] == fields
        assert "short" not in answer.text
        assert await pool.fetchval("SELECT count(*) FROM users") == before


class TestUpdateUser:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, staff: Staff) -> None:
        assert (await anonymous.patch(staff.path(Role.VIEWER), json={})).status_code == 401

    async def test_a_manager_may_not_not_even_themselves(self, staff: Staff) -> None:
        for role in (Role.VIEWER, Role.MANAGER):
            answer = await staff.manager.api.patch(staff.path(role), json={"role": "admin"})
            assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_REQUIRED")

    async def test_another_tenants_user_is_not_there(self, staff: Staff, stranger: Member) -> None:
        answer = await stranger.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        assert (answer.status_code, answer.json()["code"]) == (404, "USER_NOT_FOUND")

    async def test_changes_what_is_given_and_at_once(self, staff: Staff, pool: asyncpg.Pool) -> None:
        path = staff.path(Role.VIEWER)
        body = (await staff.admin.api.patch(path, json={"role": "manager", "full_name": "Vi"})).json()
        assert (body["role"], body["full_name"], body["is_active"]) == ("manager", "Vi", True)
        assert (await staff.viewer.api.get("/api/v1/users")).status_code == 200
        assert (await staff.admin.api.patch(path, json={"full_name": None})).json()["full_name"] is None
        first, _second = await read_audit(pool, "user.update")
        assert first["before"] == {"role": "viewer", "full_name": None}
        assert first["after"] == {"role": "manager", "full_name": "Vi"}
        assert (await staff.admin.api.patch(path, json={})).status_code == 200
        assert len(await read_audit(pool, "user.update")) == 2

    async def test_deactivation_ends_sessions_for_good(self, staff: Staff) -> None:
        path = staff.path(Role.VIEWER)
        body = (await staff.admin.api.patch(path, json={"is_active": False})).json()
        assert body["is_active"] is False
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 401
        await staff.admin.api.patch(path, json={"is_active": True})
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 401

    async def test_a_new_address_is_not_verified_and_ends_sessions(
        self, staff: Staff, pool: asyncpg.Pool
    ) -> None:
        await pool.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", staff.viewer.user_id)
        path = staff.path(Role.VIEWER)
        assert (await staff.admin.api.get(path)).json()["email_verified"] is True
        body = (await staff.admin.api.patch(path, json={"email": "vi@EXAMPLE.com"})).json()
        assert (body["email"], body["email_verified"]) == ("vi@example.com", False)
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 401

    async def test_another_spelling_is_no_new_address(self, staff: Staff, pool: asyncpg.Pool) -> None:
        await pool.execute(
            "UPDATE users SET email = 'vi@example.com', email_verified_at = now() WHERE id = $1",
            staff.viewer.user_id,
        )
        body = (await staff.admin.api.patch(staff.path(Role.VIEWER), json={"email": "Vi@example.com"})).json()
        assert (body["email"], body["email_verified"]) == ("Vi@example.com", True)
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 200

    async def test_a_taken_address_changes_nothing(self, staff: Staff, pool: asyncpg.Pool) -> None:
        taken = {"email": staff.manager.email.upper(), "role": "admin"}
        await pool.execute("UPDATE users SET email = 'boss@example.com' WHERE id = $1", staff.manager.user_id)
        taken["email"] = "Boss@example.com"
        answer = await staff.admin.api.patch(staff.path(Role.VIEWER), json=taken)
        assert (answer.status_code, answer.json()["code"]) == (409, "EMAIL_TAKEN")
        assert (await staff.admin.api.get(staff.path(Role.VIEWER))).json()["role"] == "viewer"
        assert await read_audit(pool, "user.update") == []

    async def test_a_new_password_is_hashed_and_ends_sessions(self, staff: Staff, pool: asyncpg.Pool) -> None:
        body = {"password": "another one, long"}
        assert (await staff.admin.api.patch(staff.path(Role.VIEWER), json=body)).status_code == 200
        stored = await pool.fetchval("SELECT password_hash FROM users WHERE id = $1", staff.viewer.user_id)
        assert argon2.PasswordHasher().verify(stored, body["password"])
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 401
        (entry,) = await read_audit(pool, "user.update")
        assert entry["after"] == {"password_changed": True}

    async def test_ones_own_new_password_keeps_the_session(self, staff: Staff) -> None:
        body = {"password": "another one, long"}
        assert (await staff.admin.api.patch(staff.path(Role.ADMIN), json=body)).status_code == 200
        assert (await staff.admin.api.get("/v1/users/me")).status_code == 200

    @pytest.mark.parametrize("body", [{"email": "vi@example.com"}, {"password": "another one, long"}])
    async def test_credentials_need_a_recent_sign_in(
        self, staff: Staff, clock: SetClock, body: dict[str, str]
    ) -> None:
        clock.advance(minutes=11)
        for role in (Role.VIEWER, Role.ADMIN):
            answer = await staff.admin.api.patch(staff.path(role), json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "REAUTHENTICATION_REQUIRED")
        assert (
            await staff.admin.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        ).status_code == 200

    @pytest.mark.parametrize("body", [{"role": "manager"}, {"is_active": False}])
    async def test_the_last_admin_stays_one(self, staff: Staff, body: dict[str, object]) -> None:
        answer = await staff.admin.api.patch(staff.path(Role.ADMIN), json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "LAST_ADMIN")
        await staff.admin.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        assert (await staff.admin.api.patch(staff.path(Role.ADMIN), json=body)).status_code == 200

    async def test_a_banned_admin_does_not_count(self, staff: Staff) -> None:
        await staff.admin.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        ban = await staff.admin.api.post(f"/v1/users/{staff.viewer.user_id}/ban", json={"reason": "Spam"})
        assert ban.status_code == 204
        answer = await staff.admin.api.patch(staff.path(Role.ADMIN), json={"role": "viewer"})
        assert (answer.status_code, answer.json()["code"]) == (409, "LAST_ADMIN")

    async def test_of_two_admins_at_once_one_remains(self, staff: Staff, pool: asyncpg.Pool) -> None:
        await staff.admin.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        answers = await asyncio.gather(
            staff.admin.api.patch(staff.path(Role.ADMIN), json={"role": "viewer"}),
            staff.viewer.api.patch(staff.path(Role.VIEWER), json={"is_active": False}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        left = "SELECT count(*) FROM users WHERE tenant_id = $1 AND role = 'admin' AND is_active"
        assert await pool.fetchval(left, staff.admin.tenant_id) >= 1

    async def test_a_superadmin_is_out_of_an_admins_reach(self, staff: Staff, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE users SET is_superadmin = true WHERE id = $1", staff.viewer.user_id)
        path = staff.path(Role.VIEWER)
        for body in ({"email": "mine@example.com"}, {"is_active": False}, {"password": "mine now, and long"}):
            answer = await staff.admin.api.patch(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "SUPERADMIN_PROTECTED")
        assert (await staff.admin.api.delete(path)).status_code == 403
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 200


class TestDeleteUser:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, staff: Staff) -> None:
        assert (await anonymous.delete(staff.path(Role.VIEWER))).status_code == 401

    async def test_a_manager_may_not(self, staff: Staff) -> None:
        assert (await staff.manager.api.delete(staff.path(Role.VIEWER))).status_code == 403

    async def test_another_tenants_user_is_not_there(self, staff: Staff, stranger: Member) -> None:
        assert (await stranger.api.delete(staff.path(Role.VIEWER))).status_code == 404
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 200

    async def test_ends_sessions_and_frees_the_address(self, staff: Staff, pool: asyncpg.Pool) -> None:
        path = staff.path(Role.VIEWER)
        await pool.execute(
            "INSERT INTO federated_identities (tenant_id, issuer, subject, user_id, provider, created_at)"
            " VALUES ($1, 'https://issuer.example', 'one', $2, 'google', now())",
            staff.viewer.tenant_id,
            staff.viewer.user_id,
        )
        await staff.admin.api.patch(path, json={"email": "vi@example.com"})
        answer = await staff.admin.api.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await staff.viewer.api.get("/v1/users/me")).status_code == 401
        assert (await staff.admin.api.get(path)).status_code == 404
        assert (await staff.admin.api.delete(path)).status_code == 404
        assert (await staff.admin.api.get("/api/v1/users")).json()["total"] == 3
        again = await staff.admin.api.post("/api/v1/users", json=NEW | {"email": "vi@example.com"})
        assert again.status_code == 201
        assert await pool.fetchval("SELECT count(*) FROM federated_identities") == 0
        kept = await pool.fetchrow(
            "SELECT deleted_at IS NOT NULL AS deleted, is_active FROM users WHERE id = $1",
            staff.viewer.user_id,
        )
        assert tuple(kept or ()) == (True, False)
        (entry,) = await read_audit(pool, "user.delete")
        assert (entry["entity_id"], entry["after"]) == (str(staff.viewer.user_id), None)
        assert entry["before"]["email"] == "vi@example.com"

    async def test_the_last_admin_stays(self, staff: Staff, pool: asyncpg.Pool) -> None:
        answer = await staff.admin.api.delete(staff.path(Role.ADMIN))
        assert (answer.status_code, answer.json()["code"]) == (409, "LAST_ADMIN")
        await staff.admin.api.patch(staff.path(Role.VIEWER), json={"role": "admin"})
        answers = await asyncio.gather(
            staff.admin.api.delete(staff.path(Role.VIEWER)), staff.viewer.api.delete(staff.path(Role.ADMIN))
        )
        assert [answer.status_code for answer in answers].count(204) == 1
        left = "SELECT count(*) FROM users WHERE tenant_id = $1 AND role = 'admin' AND deleted_at IS NULL"
        assert await pool.fetchval(left, staff.admin.tenant_id) == 1
