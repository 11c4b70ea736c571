from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.dialects.identity.federated import (  # noqa: F401  fixtures, found by name
    Visitor,
    google,
    settings,
    slug_of,
    telegram,
)
from tests.dialects.links.conftest import count_rows
from tests.dialects.members import Member, client_of, make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.oidc_provider import OidcProvider

# ruff: noqa: F811  fixtures are named as what they give

IDENTITIES = "/v1/auth/identities"


def linker(api: httpx.AsyncClient) -> Visitor:
    """Somebody signed in who links an account of a provider."""
    return Visitor(api, IDENTITIES)


async def sign_in_as_owner(app: Any, pool: asyncpg.Pool, member: Member) -> Visitor:
    return Visitor(client_of(app), "/v1/auth/login/oauth", tenant_slug=await slug_of(pool, member.tenant_id))


class TestLink:
    async def test_nobody_links_without_a_session(self, anonymous: httpx.AsyncClient) -> None:
        assert (await linker(anonymous).start()).status_code == 401
        assert (await linker(anonymous).finish({"code": "c", "state": "s"})).status_code == 401

    async def test_what_is_linked_signs_in(
        self, app: Any, member: Member, pool: asyncpg.Pool, google: OidcProvider
    ) -> None:
        google.person["email"] = member.email
        owner = await sign_in_as_owner(app, pool, member)
        assert (await owner.go()).json()["code"] == "account_exists"
        answer = await linker(member.api).go()
        assert answer.status_code == 200
        assert answer.json()["identities"] == [
            {
                "provider": "google",
                "subject": "1094",
                "email": member.email,
                "linked_at": "2026-05-04T10:20:30Z",
            }
        ]
        assert (await owner.go()).status_code == 200
        assert await pool.fetchval("SELECT DISTINCT user_id FROM sessions") == member.user_id
        [entry] = await pool.fetch("SELECT * FROM audit_log")
        assert (entry["action"], entry["actor_id"]) == ("identity.link", member.user_id)
        assert entry["after"]["subject"] == "1094"

    async def test_linking_it_twice_is_no_fault(self, member: Member, pool: asyncpg.Pool) -> None:
        for _ in range(2):
            assert (await linker(member.api).go()).status_code == 200
        assert await count_rows(pool, "federated_identities") == 1
        assert await count_rows(pool, "audit_log") == 1

    async def test_it_needs_a_recent_sign_in(self, member: Member, clock: SetClock) -> None:
        body = await linker(member.api).travel()
        clock.advance(minutes=10, seconds=1)
        answers = [await linker(member.api).start(), await linker(member.api).finish(body)]
        codes = [(answer.status_code, answer.json()["code"]) for answer in answers]
        assert codes == [(403, "reauthentication_required")] * 2

    async def test_the_state_is_of_the_same_user(
        self, app: Any, member: Member, viewer: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        """Otherwise an attacker's redirect, opened by a victim, would link the attacker to their account."""
        body = await linker(viewer.api).travel()
        for other in (member, stranger):
            answer = await linker(other.api).finish(body)
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_oauth_state")
        login = await sign_in_as_owner(app, pool, member)
        assert (await login.finish(login.common | body)).json()["code"] == "invalid_oauth_state"
        begun_signed_out = await login.travel()
        answer = await linker(viewer.api).finish(begun_signed_out)
        assert answer.json()["code"] == "invalid_oauth_state"
        assert (await linker(viewer.api).finish(body)).status_code == 200

    async def test_what_is_anothers_is_taken(self, member: Member, viewer: Member) -> None:
        assert (await linker(viewer.api).go()).status_code == 200
        answer = await linker(member.api).go()
        assert (answer.status_code, answer.json()["code"]) == (409, "identity_taken")

    async def test_in_another_tenant_it_is_free(self, member: Member, stranger: Member) -> None:
        assert (await linker(member.api).go()).status_code == 200
        assert (await linker(stranger.api).go()).status_code == 200

    async def test_there_is_one_of_each_provider(self, member: Member, google: OidcProvider) -> None:
        assert (await linker(member.api).go()).status_code == 200
        google.person["sub"] = "2208"
        answer = await linker(member.api).go()
        assert (answer.status_code, answer.json()["code"]) == (409, "provider_already_linked")
        assert (await linker(member.api).go("telegram")).status_code == 200

    async def test_two_users_at_once_get_one_link(
        self, member: Member, viewer: Member, pool: asyncpg.Pool
    ) -> None:
        bodies = [(user, await linker(user.api).travel()) for user in (member, viewer)]
        answers = await asyncio.gather(*(linker(user.api).finish(body) for user, body in bodies))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert await count_rows(pool, "federated_identities") == 1


class TestList:
    async def test_nobody_lists_without_a_session(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get(IDENTITIES)).status_code == 401

    async def test_each_sees_their_own(self, member: Member, viewer: Member, stranger: Member) -> None:
        await linker(member.api).go()
        listed = (await member.api.get(IDENTITIES)).json()["identities"]
        assert [identity["provider"] for identity in listed] == ["google"]
        for other in (viewer, stranger):
            assert (await other.api.get(IDENTITIES)).json() == {"identities": []}


class TestUnlink:
    @pytest.fixture
    async def member(self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:
        """A user with a password."""
        return await make_member(app, pool, settings, clock(), password_hash="$argon2id$of the tests")

    async def test_nobody_unlinks_without_a_session(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.delete(f"{IDENTITIES}/google")).status_code == 401

    async def test_it_signs_in_no_more(
        self, app: Any, member: Member, pool: asyncpg.Pool, google: OidcProvider
    ) -> None:
        google.person["email"] = member.email
        await linker(member.api).go()
        assert (await member.api.delete(f"{IDENTITIES}/google")).status_code == 204
        assert (await (await sign_in_as_owner(app, pool, member)).go()).json()["code"] == "account_exists"
        actions = await pool.fetch("SELECT action, before FROM audit_log ORDER BY id")
        assert [row["action"] for row in actions] == ["identity.link", "identity.unlink"]
        assert actions[1]["before"]["subject"] == "1094"

    async def test_it_needs_a_recent_sign_in(self, member: Member, clock: SetClock) -> None:
        await linker(member.api).go()
        clock.advance(minutes=11)
        answer = await member.api.delete(f"{IDENTITIES}/google")
        assert (answer.status_code, answer.json()["code"]) == (403, "reauthentication_required")

    async def test_what_is_not_linked_is_not_found(self, member: Member, viewer: Member) -> None:
        await linker(viewer.api).go()
        for provider in ("google", "facebook"):
            answer = await member.api.delete(f"{IDENTITIES}/{provider}")
            assert (answer.status_code, answer.json()["code"]) == (404, "identity_not_found")

    async def test_the_last_way_in_stays(self, viewer: Member) -> None:
        await linker(viewer.api).go()
        answer = await viewer.api.delete(f"{IDENTITIES}/google")
        assert (answer.status_code, answer.json()["code"]) == (409, "last_way_to_sign_in")
        await linker(viewer.api).go("telegram")
        assert (await viewer.api.delete(f"{IDENTITIES}/google")).status_code == 204
        assert (await viewer.api.delete(f"{IDENTITIES}/telegram")).status_code == 409

    async def test_an_identity_at_a_provider_that_is_gone_is_no_way_in(
        self, app: Any, viewer: Member, settings: Settings
    ) -> None:
        for provider in ("google", "telegram"):
            await linker(viewer.api).go(provider)
        app.state.services.settings = msgspec.structs.replace(
            settings, telegram_client_id="", telegram_client_secret=""
        )
        assert (await viewer.api.delete(f"{IDENTITIES}/google")).status_code == 409
        assert (await viewer.api.delete(f"{IDENTITIES}/telegram")).status_code == 204

    async def test_two_at_once_leave_one(self, viewer: Member, pool: asyncpg.Pool) -> None:
        for provider in ("google", "telegram"):
            await linker(viewer.api).go(provider)
        paths = [f"{IDENTITIES}/{provider}" for provider in ("google", "telegram")]
        answers = await asyncio.gather(*(viewer.api.delete(path) for path in paths))
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        assert await count_rows(pool, "federated_identities") == 1
