"""The second step of a sign-in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.opaque_tokens import make_token
from control_plane.domains.messages.model import Sms
from control_plane.domains.mfa.service import CHALLENGE_PREFIX
from tests.dialects.members import make_member
from tests.dialects.outbox import read_outbox
from tests.dialects.second_factors import Authenticator, begin_sign_in, enable

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member


@pytest.fixture
async def phoned(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:
    """A user with a phone."""
    return await make_member(app, pool, settings, clock(), phone_number="+15551234567")


@pytest.fixture
async def authenticator(member: Member, clock: SetClock) -> Authenticator:
    """The authenticator of `member`; its next code was not taken yet."""
    made = await enable(member, clock)
    clock.advance(seconds=30)
    return made


async def complete(client: httpx.AsyncClient, mfa_token: str, code: str) -> httpx.Response:
    body = {"mfa_token": mfa_token, "code": code}
    return await client.post("/v1/auth/mfa/challenge", json=body, headers={"User-Agent": "Browser"})


async def last_code(app: Any, pool: asyncpg.Pool) -> str:
    codes = [message.data["code"] for message in await read_outbox(app, pool) if isinstance(message, Sms)]
    code: str = codes[-1]
    return code


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


WRONG = (401, "invalid_mfa_code")
OVER = (401, "invalid_mfa_token")


class TestChallenge:
    async def test_a_right_code_begins_a_session(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        answer = await complete(
            anonymous,
            await begin_sign_in(pool, member, clock),
            f" {authenticator.code()[:3]} {authenticator.code()[3:]}",
        )
        assert answer.status_code == 200
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 1800)
        bearer = {"Authorization": f"Bearer {body['access_token']}"}
        sessions = (await anonymous.get("/v1/auth/sessions", headers=bearer)).json()["sessions"]
        (mine,) = [session for session in sessions if session["is_current"]]
        assert (mine["device_name"], mine["user_agent"]) == ("Phone", "Browser")
        refreshed = await anonymous.post("/v1/auth/refresh", json={"refresh_token": body["refresh_token"]})
        assert refreshed.status_code == 200

    async def test_it_is_met_once(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        assert (await complete(anonymous, token, authenticator.code())).status_code == 200
        assert outcome(await complete(anonymous, token, authenticator.new_code())) == OVER

    async def test_a_code_is_taken_once_whatever_the_challenge(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        tokens = [await begin_sign_in(pool, member, clock) for _ in range(3)]
        assert (await complete(anonymous, tokens[0], authenticator.code())).status_code == 200
        assert outcome(await complete(anonymous, tokens[1], authenticator.code())) == WRONG
        assert outcome(await complete(anonymous, tokens[1], authenticator.code(-1))) == WRONG
        assert (await complete(anonymous, tokens[2], authenticator.code(1))).status_code == 200

    async def test_of_the_same_code_at_once_one_wins(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        tokens = [await begin_sign_in(pool, member, clock) for _ in range(3)] * 2
        answers = await asyncio.gather(
            *(complete(anonymous, token, authenticator.code()) for token in tokens)
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5

    async def test_five_tries_and_it_is_over(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        for code in ("000-wrong", "x", "0000-0000-0000-0000", authenticator.wrong_code(), "é"):
            assert outcome(await complete(anonymous, token, code)) == WRONG
        assert outcome(await complete(anonymous, token, authenticator.code())) == OVER
        assert (
            await complete(anonymous, await begin_sign_in(pool, member, clock), authenticator.code())
        ).is_success

    async def test_tries_at_once_are_all_counted(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        answers = await asyncio.gather(*(complete(anonymous, token, "x") for _ in range(12)))
        outcomes = [outcome(answer) for answer in answers]
        assert (outcomes.count(WRONG), outcomes.count(OVER)) == (5, 7)
        assert outcome(await complete(anonymous, token, authenticator.code())) == OVER

    async def test_more_challenges_are_no_more_guesses(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        tokens = [await begin_sign_in(pool, member, clock) for _ in range(6)]
        wrong = authenticator.wrong_code()
        outcomes = [outcome(await complete(anonymous, token, wrong)) for token in tokens]
        assert outcomes == [WRONG] * 5 + [(429, "mfa_locked")]
        # The lock takes none of the challenge's tries, and opens in time for it.
        clock.advance(minutes=1)
        assert (await complete(anonymous, tokens[5], authenticator.code())).status_code == 200

    async def test_five_minutes_and_it_is_over(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        clock.advance(minutes=5)
        assert outcome(await complete(anonymous, token, authenticator.code())) == OVER

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET banned_at = now() WHERE id = $1",
            "UPDATE users SET is_active = false WHERE id = $1",
            "UPDATE users SET deleted_at = now() WHERE id = $1",
            "UPDATE tenants SET status = 'Suspended' WHERE id = (SELECT tenant_id FROM users WHERE id = $1)",
        ],
    )
    async def test_who_may_not_sign_in_any_more_is_refused(  # noqa: PLR0913, PLR0917  fixtures
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
        change: str,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        await pool.execute(change, member.user_id)
        assert outcome(await complete(anonymous, token, authenticator.code())) == OVER
        sms = await anonymous.post("/v1/auth/mfa/challenge/sms", json={"mfa_token": token})
        assert outcome(sms) == OVER

    async def test_the_token_is_nothing_else(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        for prefix in ("/v1", "/api/v1"):
            path = f"{prefix}/auth/sessions" if prefix == "/v1" else f"{prefix}/mfa/enable"
            method = "GET" if prefix == "/v1" else "POST"
            answer = await anonymous.request(method, path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401
        answer = await anonymous.post("/v1/auth/refresh", json={"refresh_token": token})
        assert outcome(answer) == (401, "invalid_refresh_token")
        assert (await complete(anonymous, token, authenticator.code())).status_code == 200

    async def test_other_tokens_are_no_challenge(
        self, anonymous: httpx.AsyncClient, member: Member, stranger: Member, authenticator: Authenticator
    ) -> None:
        for token in (
            member.tokens.access_token,
            member.tokens.refresh_token,
            make_token(CHALLENGE_PREFIX, member.tenant_id),
            make_token(CHALLENGE_PREFIX, stranger.tenant_id),
            CHALLENGE_PREFIX,
            "é",
        ):
            assert outcome(await complete(anonymous, token, authenticator.code())) == OVER

    async def test_another_users_code_is_wrong(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        viewer: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        own = await enable(viewer, clock)
        token = await begin_sign_in(pool, viewer, clock)
        for code in (authenticator.code(), authenticator.recovery_codes[0]):
            assert outcome(await complete(anonymous, token, code)) == WRONG
        assert (await complete(anonymous, token, own.new_code())).status_code == 200

    async def test_a_factor_that_was_removed_since_serves_no_more(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        await member.api.post("/v1/auth/mfa/disable", json={"code": authenticator.code()})
        for code in (authenticator.new_code(), authenticator.recovery_codes[0]):
            assert outcome(await complete(anonymous, token, code)) == WRONG

    async def test_a_factor_that_is_not_verified_serves_nothing(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        body = (await member.api.post("/v1/auth/mfa/setup", json={"factor_type": "TOTP"})).json()
        pending = Authenticator(clock, body["factor_id"], body["secret"], [])
        token = await begin_sign_in(pool, member, clock)
        assert outcome(await complete(anonymous, token, pending.code())) == WRONG
        assert (await complete(anonymous, token, authenticator.code())).status_code == 200


class TestRecoveryCodes:
    async def test_each_serves_once(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        for code in authenticator.recovery_codes:
            token = await begin_sign_in(pool, member, clock)
            assert (await complete(anonymous, token, code.upper())).status_code == 200
            token = await begin_sign_in(pool, member, clock)
            assert outcome(await complete(anonymous, token, code)) == WRONG
        factors = (await member.api.get("/v1/auth/mfa/factors")).json()
        assert factors["recovery_codes_left"] == 0

    async def test_of_two_at_once_one_wins(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        tokens = [await begin_sign_in(pool, member, clock) for _ in range(6)]
        answers = await asyncio.gather(
            *(complete(anonymous, token, authenticator.recovery_codes[0]) for token in tokens)
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5

    async def test_its_use_is_recorded_and_mailed(  # noqa: PLR0913, PLR0917  fixtures
        self,
        app: Any,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        token = await begin_sign_in(pool, member, clock)
        assert (await complete(anonymous, token, authenticator.recovery_codes[0])).status_code == 200
        row = await pool.fetchrow("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")
        assert row is not None
        assert (row["action"], row["actor_id"]) == ("mfa.recovery_code_used", member.user_id)
        assert row["after"] == {"codes_left": 9}
        mail = (await read_outbox(app, pool))[-1]
        assert (mail.data["change"], mail.data["codes_left"]) == ("recovery_code_used", 9)


class TestSms:
    async def enroll(self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock) -> None:
        body = (await phoned.api.post("/v1/auth/mfa/setup", json={"factor_type": "SMS"})).json()
        verify = {"factor_id": body["factor_id"], "code": await last_code(app, pool)}
        assert (await phoned.api.post("/v1/auth/mfa/verify", json=verify)).status_code == 200
        clock.advance(minutes=1)

    async def test_a_code_is_sent_and_taken_once(
        self, app: Any, anonymous: httpx.AsyncClient, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        await self.enroll(app, pool, phoned, clock)
        token = await begin_sign_in(pool, phoned, clock)
        answer = await anonymous.post("/v1/auth/mfa/challenge/sms", json={"mfa_token": token})
        assert (answer.status_code, answer.json()["phone_number"]) == (200, "********4567")
        code = await last_code(app, pool)
        assert (await complete(anonymous, token, code)).status_code == 200
        again = await begin_sign_in(pool, phoned, clock)
        assert outcome(await complete(anonymous, again, code)) == WRONG

    async def test_it_is_good_for_its_own_challenge(
        self, app: Any, anonymous: httpx.AsyncClient, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        await self.enroll(app, pool, phoned, clock)
        token, other = [await begin_sign_in(pool, phoned, clock) for _ in range(2)]
        await anonymous.post("/v1/auth/mfa/challenge/sms", json={"mfa_token": token})
        code = await last_code(app, pool)
        assert outcome(await complete(anonymous, other, code)) == WRONG
        answer = await phoned.api.post("/v1/auth/mfa/disable", json={"code": code})
        assert outcome(answer) == (403, "mfa_code_refused")
        assert (await complete(anonymous, token, code)).status_code == 200

    async def test_a_new_code_kills_the_old_and_has_to_wait(
        self, app: Any, anonymous: httpx.AsyncClient, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        await self.enroll(app, pool, phoned, clock)
        token = await begin_sign_in(pool, phoned, clock)
        body = {"mfa_token": token}
        assert (await anonymous.post("/v1/auth/mfa/challenge/sms", json=body)).status_code == 200
        old = await last_code(app, pool)
        answer = await anonymous.post("/v1/auth/mfa/challenge/sms", json=body)
        assert outcome(answer) == (429, "mfa_code_too_soon")
        clock.advance(minutes=1)
        assert (await anonymous.post("/v1/auth/mfa/challenge/sms", json=body)).status_code == 200
        new = await last_code(app, pool)
        if old != new:
            assert outcome(await complete(anonymous, token, old)) == WRONG
        assert (await complete(anonymous, token, new)).status_code == 200

    async def test_it_needs_a_phone_that_is_a_factor(
        self,
        anonymous: httpx.AsyncClient,
        pool: asyncpg.Pool,
        member: Member,
        authenticator: Authenticator,
        clock: SetClock,
    ) -> None:
        assert authenticator.code()
        token = await begin_sign_in(pool, member, clock)
        answer = await anonymous.post("/v1/auth/mfa/challenge/sms", json={"mfa_token": token})
        assert outcome(answer) == (409, "no_sms_factor")
