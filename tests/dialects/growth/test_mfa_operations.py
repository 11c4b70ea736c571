"""The second factor in the growth contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.dialects.second_factors import Authenticator, begin_sign_in

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member


async def enable(member: Member, clock: SetClock) -> Authenticator:
    body = (await member.api.post("/api/v1/mfa/enable")).json()
    made = Authenticator(clock, "", body["secret"], body["backup_codes"])
    answer = await member.api.post("/api/v1/mfa/verify", json={"code": made.code()})
    assert (answer.status_code, answer.json()) == (200, {"mfa_enabled": True})
    return made


def outcome(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["success"] is False
    return answer.status_code, body["code"]


class TestEnable:
    @pytest.mark.parametrize("path", ["enable", "verify", "disable"])
    async def test_anonymous(self, anonymous: httpx.AsyncClient, path: str) -> None:
        answer = await anonymous.post(f"/api/v1/mfa/{path}", json={"code": "123456"})
        assert outcome(answer) == (401, "MISSING_TOKEN")

    async def test_the_url_is_what_a_qr_code_is_to_hold(self, member: Member) -> None:
        answer = await member.api.post("/api/v1/mfa/enable")
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"secret", "qr_code_url", "backup_codes"}
        url = urlsplit(body["qr_code_url"])
        assert (url.scheme, url.netloc) == ("otpauth", "totp")
        assert parse_qs(url.query)["secret"] == [body["secret"]]
        assert len(body["backup_codes"]) == 10

    async def test_it_needs_a_recent_sign_in(self, member: Member, clock: SetClock) -> None:
        clock.advance(minutes=11)
        answer = await member.api.post("/api/v1/mfa/enable")
        assert outcome(answer) == (403, "REAUTHENTICATION_REQUIRED")

    async def test_it_is_enabled_once(self, member: Member, clock: SetClock) -> None:
        await enable(member, clock)
        answer = await member.api.post("/api/v1/mfa/enable")
        assert outcome(answer) == (409, "MFA_ALREADY_ENABLED")


class TestVerify:
    async def test_there_must_be_something_to_verify(self, member: Member, stranger: Member) -> None:
        await stranger.api.post("/api/v1/mfa/enable")
        answer = await member.api.post("/api/v1/mfa/verify", json={"code": "123456"})
        assert outcome(answer) == (404, "MFA_FACTOR_NOT_FOUND")

    async def test_a_wrong_code_is_refused(self, member: Member, clock: SetClock) -> None:
        body = (await member.api.post("/api/v1/mfa/enable")).json()
        made = Authenticator(clock, "", body["secret"], [])
        answer = await member.api.post("/api/v1/mfa/verify", json={"code": made.wrong_code()})
        assert outcome(answer) == (403, "MFA_CODE_REFUSED")


class TestDisable:
    async def test_a_recent_sign_in_needs_no_body(self, member: Member, clock: SetClock) -> None:
        await enable(member, clock)
        answer = await member.api.post("/api/v1/mfa/disable")
        assert (answer.status_code, answer.json()) == (200, {"mfa_enabled": False})
        assert outcome(await member.api.post("/api/v1/mfa/disable")) == (409, "MFA_NOT_ENABLED")

    async def test_an_older_one_needs_a_code(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        clock.advance(minutes=11)
        answer = await member.api.post("/api/v1/mfa/disable")
        assert outcome(answer) == (403, "REAUTHENTICATION_REQUIRED")
        answer = await member.api.post("/api/v1/mfa/disable", json={"code": made.wrong_code()})
        assert outcome(answer) == (403, "MFA_CODE_REFUSED")
        answer = await member.api.post("/api/v1/mfa/disable", json={"code": made.recovery_codes[0]})
        assert answer.status_code == 200

    async def test_faults(self, member: Member) -> None:
        answer = await member.api.post("/api/v1/mfa/disable", json={"code": 7})
        assert outcome(answer) == (422, "INVALID")


class TestChallenge:
    async def test_a_right_code_answers_as_the_login_does(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        clock: SetClock,
    ) -> None:
        made = await enable(member, clock)
        code = made.new_code()
        body = {"mfa_token": await begin_sign_in(pool, member, clock), "code": code}
        answer = await anonymous.post("/api/v1/auth/mfa/challenge", json=body)
        assert answer.status_code == 200
        tokens: dict[str, Any] = answer.json()
        bearer = {"Authorization": f"Bearer {tokens.pop('access_token')}"}
        assert (await anonymous.post("/api/v1/mfa/disable", headers=bearer)).status_code == 200
        assert tokens.pop("refresh_token").startswith("syr_")
        numbers = await pool.fetchrow(
            "SELECT u.number, t.number AS tenant FROM users u JOIN tenants t ON t.id = u.tenant_id"
            " WHERE u.id = $1",
            member.user_id,
        )
        assert numbers is not None
        assert tokens == {
            "token_type": "bearer",
            "expires_in": 1800,
            "user": {
                "id": numbers["number"],
                "email": member.email,
                "full_name": None,
                "role": "admin",
                "tenant_id": numbers["tenant"],
            },
        }

    async def test_a_wrong_one_is_refused(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        clock: SetClock,
    ) -> None:
        made = await enable(member, clock)
        body = {"mfa_token": await begin_sign_in(pool, member, clock), "code": made.wrong_code()}
        answer = await anonymous.post("/api/v1/auth/mfa/challenge", json=body)
        assert outcome(answer) == (401, "INVALID_MFA_CODE")
        answer = await anonymous.post("/api/v1/auth/mfa/challenge", json=body | {"mfa_token": "x"})
        assert outcome(answer) == (401, "INVALID_MFA_TOKEN")
