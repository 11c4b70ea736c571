"""Factors of somebody who is signed in."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from control_plane.app import create_app
from control_plane.domains.messages.model import Mail, Sms, Template
from tests.dialects.links.conftest import running
from tests.dialects.members import make_member
from tests.dialects.outbox import read_outbox
from tests.dialects.second_factors import Authenticator, begin_sign_in, enable, set_up

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

PHONE = "+15551234567"


@pytest.fixture
async def phoned(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:
    """A user with a phone."""
    return await make_member(app, pool, settings, clock(), phone_number=PHONE)


async def post(member: Member, path: str, **body: Any) -> httpx.Response:
    return await member.api.post(f"/v1/auth/mfa/{path}", json=body)


async def remove(member: Member, factor_id: str, body: Any = None) -> httpx.Response:
    return await member.api.request("DELETE", f"/v1/auth/mfa/factors/{factor_id}", json=body)


async def factors_of(member: Member) -> tuple[list[dict[str, Any]], int]:
    body = (await member.api.get("/v1/auth/mfa/factors")).json()
    return body["factors"], body["recovery_codes_left"]


async def sent_codes(app: Any, pool: asyncpg.Pool) -> list[str]:
    return [message.data["code"] for message in await read_outbox(app, pool) if isinstance(message, Sms)]


async def changes_mailed(app: Any, pool: asyncpg.Pool) -> list[str]:
    return [
        message.data["change"]
        for message in await read_outbox(app, pool)
        if isinstance(message, Mail) and message.template is Template.MFA_CHANGED
    ]


async def actions_of(pool: asyncpg.Pool, member: Member) -> list[str]:
    rows = await pool.fetch(
        "SELECT action FROM audit_log WHERE tenant_id = $1 AND entity_id = $2 ORDER BY id",
        member.tenant_id,
        str(member.user_id),
    )
    return [row["action"] for row in rows]


def other(code: str) -> str:
    """Give six digits that are another code."""
    return f"{(int(code) + 1) % 10**6:06}"


NOBODYS = "01890a5d-ac96-774b-bcce-b302099a8057"


class TestAccess:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "setup"),
            ("POST", "verify"),
            ("GET", "factors"),
            ("POST", f"factors/{NOBODYS}/sms"),
            ("DELETE", f"factors/{NOBODYS}"),
            ("POST", "disable"),
            ("POST", "recovery-codes"),
        ],
    )
    async def test_anonymous(self, anonymous: httpx.AsyncClient, method: str, path: str) -> None:
        answer = await anonymous.request(method, f"/v1/auth/mfa/{path}", json={"code": "1"})
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")

    async def test_another_ones_factor_is_not_there(
        self, member: Member, viewer: Member, stranger: Member, clock: SetClock
    ) -> None:
        app = await enable(member, clock)
        for other_one in (viewer, stranger):
            body = {"factor_id": app.factor_id, "code": app.new_code()}
            for answer in (
                await post(other_one, "verify", **body),
                await post(other_one, f"factors/{app.factor_id}/sms"),
                await remove(other_one, app.factor_id, {"code": app.code()}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (404, "mfa_factor_not_found")
            assert await factors_of(other_one) == ([], 0)
        assert len((await factors_of(member))[0]) == 1

    @pytest.mark.parametrize("factor_id", ["me", "1"])
    async def test_what_is_no_id_is_not_there(self, member: Member, factor_id: str) -> None:
        assert (await remove(member, factor_id)).status_code == 404


class TestSetup:
    async def test_a_totp_factor_comes_with_all_that_an_app_needs(self, member: Member) -> None:
        answer = await post(member, "setup", factor_type="TOTP", label="My phone")
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {
            "factor_id", "secret", "qr_code_url", "recovery_codes",
            "otpauth_url", "qr_code_png", "qr_code_svg",
        }  # fmt: skip
        assert len(base64.b32decode(body["secret"])) == 20
        assert body["qr_code_url"] == body["qr_code_png"]
        assert body["qr_code_url"].startswith("data:image/png;base64,")
        assert body["qr_code_svg"].startswith("data:image/svg+xml")
        url = urlsplit(body["otpauth_url"])
        assert parse_qs(url.query) == {"secret": [body["secret"]], "issuer": ["Acme"]}
        assert len(set(body["recovery_codes"])) == 10

    async def test_secrets_are_sealed_and_hashed(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        made = await set_up(member, clock)
        row = await pool.fetchrow("SELECT id, secret FROM mfa_factors")
        assert row is not None
        assert made.secret.encode() not in row["secret"]
        opened = await app.state.services.sealer.open(row["secret"], f"mfa_factors.secret:{row['id']}")
        assert opened.decode() == made.secret
        hashes = [row["code_hash"] for row in await pool.fetch("SELECT code_hash FROM recovery_codes")]
        assert [len(value) for value in hashes] == [32] * 10
        plain = [code.replace("-", "").encode() for code in made.recovery_codes]
        assert not any(code in value for code in plain for value in hashes)

    async def test_a_factor_counts_for_nothing_until_it_is_verified(
        self, member: Member, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        made = await set_up(member, clock)
        ((factor,), left) = await factors_of(member)
        assert (factor["verified"], left) == (False, 0)
        with pytest.raises(AssertionError):  # there is no challenge
            await begin_sign_in(pool, member, clock)
        answer = await post(member, "recovery-codes", code=made.recovery_codes[0])
        assert (answer.status_code, answer.json()["code"]) == (409, "mfa_not_enabled")

    async def test_it_replaces_one_that_was_not_verified(self, member: Member, clock: SetClock) -> None:
        first = await set_up(member, clock)
        second = await set_up(member, clock)
        answer = await post(member, "verify", factor_id=first.factor_id, code=first.code())
        assert answer.status_code == 404
        answer = await post(member, "verify", factor_id=second.factor_id, code=second.code())
        assert answer.status_code == 200
        answer = await post(member, "recovery-codes", code=first.recovery_codes[0])
        assert (answer.status_code, answer.json()["code"]) == (403, "mfa_code_refused")
        assert (await post(member, "recovery-codes", code=second.recovery_codes[0])).status_code == 200

    async def test_many_at_once_leave_one(self, member: Member, clock: SetClock) -> None:
        await set_up(member, clock)
        answers = await asyncio.gather(*(post(member, "setup", factor_type="TOTP") for _ in range(6)))
        assert {answer.status_code for answer in answers} == {200}
        assert len((await factors_of(member))[0]) == 1

    async def test_it_needs_a_recent_sign_in(self, member: Member, clock: SetClock) -> None:
        clock.advance(minutes=10, seconds=1)
        answer = await post(member, "setup", factor_type="TOTP")
        assert (answer.status_code, answer.json()["code"]) == (403, "reauthentication_required")

    async def test_a_further_one_may_come_with_a_code_instead(self, member: Member, clock: SetClock) -> None:
        app = await enable(member, clock)
        clock.advance(minutes=11)
        assert (await post(member, "setup", factor_type="TOTP")).status_code == 403
        answer = await post(member, "setup", factor_type="TOTP", code=app.wrong_code())
        assert answer.json()["code"] == "mfa_code_refused"
        further = await enable(member, clock, code=app.code())
        assert further.recovery_codes == []
        assert (await factors_of(member))[1] == 10

    async def test_there_are_five_at_most(self, member: Member, clock: SetClock) -> None:
        for _ in range(5):
            await enable(member, clock)
        answer = await post(member, "setup", factor_type="TOTP")
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_mfa_factors")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "factor_type"),
            ({"factor_type": "totp"}, "factor_type"),
            ({"factor_type": "TOTP", "label": "x" * 101}, "label"),
            ({"factor_type": "TOTP", "code": 1}, "code"),
        ],
    )
    async def test_faults(self, member: Member, body: dict[str, Any], field: str) -> None:
        answer = await post(member, "setup", **body)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_a_busy_pool_does_not_keep_keys_from_being_loaded(
    pool: asyncpg.Pool, settings: Settings, clock: SetClock
) -> None:
    """The first secret is sealed in a transaction, which must not wait for a connection that it holds."""
    app = create_app(msgspec.structs.replace(settings, database_pool_size=1), clock)
    async with running(app), asyncio.timeout(20):
        member = await make_member(app, pool, settings, clock())
        await enable(member, clock)


class TestVerify:
    async def test_it_is_recorded_and_mailed(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        made = await enable(member, clock)
        ((factor,), left) = await factors_of(member)
        assert (factor["factor_id"], factor["verified"], left) == (made.factor_id, True, 10)
        assert await actions_of(pool, member) == ["mfa.factor_added"]
        (mail,) = await read_outbox(app, pool)
        assert isinstance(mail, Mail)
        assert (mail.to, mail.template, mail.language) == (member.email, Template.MFA_CHANGED, "en")
        assert mail.data["change"] == "factor_added"
        assert made.secret not in str(mail.data)

    async def test_the_session_stays(self, member: Member, clock: SetClock) -> None:
        await enable(member, clock)
        assert (await member.api.get("/v1/auth/sessions")).status_code == 200

    async def test_a_wrong_code_is_refused(self, member: Member, clock: SetClock) -> None:
        made = await set_up(member, clock)
        for code in (made.wrong_code(), made.recovery_codes[0], "x"):
            answer = await post(member, "verify", factor_id=made.factor_id, code=code)
            assert (answer.status_code, answer.json()["code"]) == (403, "mfa_code_refused")

    async def test_it_has_an_hour(self, member: Member, clock: SetClock, pool: Any) -> None:
        made = await set_up(member, clock)
        await pool.execute("UPDATE mfa_factors SET created_at = created_at - interval '1 hour'")
        answer = await post(member, "verify", factor_id=made.factor_id, code=made.code())
        assert answer.status_code == 404
        assert await factors_of(member) == ([], 0)

    async def test_it_is_done_once(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        answer = await post(member, "verify", factor_id=made.factor_id, code=made.new_code())
        assert (answer.status_code, answer.json()["code"]) == (409, "mfa_factor_verified")

    async def test_the_first_code_serves_for_nothing_else(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        assert (await post(member, "disable", code=made.code())).status_code == 403
        assert (await post(member, "disable", code=made.code(-1))).status_code == 403


class TestSms:
    async def enroll(self, app: Any, pool: asyncpg.Pool, phoned: Member) -> str:
        body = (await post(phoned, "setup", factor_type="SMS", label="Work")).json()
        (code,) = await sent_codes(app, pool)
        answer = await post(phoned, "verify", factor_id=body["factor_id"], code=code)
        assert answer.status_code == 200, answer.text
        factor_id: str = body["factor_id"]
        return factor_id

    async def test_the_code_goes_to_the_profiles_number(
        self, app: Any, pool: asyncpg.Pool, phoned: Member
    ) -> None:
        answer = await post(phoned, "setup", factor_type="SMS")
        body = answer.json()
        assert set(body) == {"factor_id", "recovery_codes", "phone_number"}
        assert (body["phone_number"], len(body["recovery_codes"])) == ("********4567", 10)
        (message,) = await read_outbox(app, pool)
        assert isinstance(message, Sms)
        assert (message.to, message.template) == (PHONE, Template.MFA_CODE)
        code, minutes = message.data["code"], message.data["minutes"]
        assert (len(code), code.isdecimal(), minutes) == (6, True, 10)
        stored = await pool.fetchval("SELECT code_hash FROM verifications")
        assert code.encode() not in stored
        answer = await post(phoned, "verify", factor_id=body["factor_id"], code=code)
        assert answer.json()["phone_number"] == "********4567"

    async def test_it_needs_a_number(self, member: Member) -> None:
        answer = await post(member, "setup", factor_type="SMS")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_phone_number")
        assert await factors_of(member) == ([], 0)

    async def test_there_is_one_at_most(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        await self.enroll(app, pool, phoned)
        clock.advance(minutes=1)
        answer = await post(phoned, "setup", factor_type="SMS")
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_mfa_factors")

    async def test_a_code_is_good_for_ten_minutes(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        factor_id = (await post(phoned, "setup", factor_type="SMS")).json()["factor_id"]
        (code,) = await sent_codes(app, pool)
        clock.advance(minutes=10)
        assert (await post(phoned, "verify", factor_id=factor_id, code=code)).status_code == 403

    async def test_a_code_has_five_tries(self, app: Any, pool: asyncpg.Pool, phoned: Member) -> None:
        factor_id = (await post(phoned, "setup", factor_type="SMS")).json()["factor_id"]
        (code,) = await sent_codes(app, pool)
        for _ in range(5):
            answer = await post(phoned, "verify", factor_id=factor_id, code=other(code))
            assert answer.status_code == 403
        assert (await post(phoned, "verify", factor_id=factor_id, code=code)).status_code == 403

    async def test_a_new_code_kills_the_old(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        factor_id = (await post(phoned, "setup", factor_type="SMS")).json()["factor_id"]
        answer = await post(phoned, f"factors/{factor_id}/sms")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert answer.json()["code"] == "mfa_code_too_soon"
        clock.advance(minutes=1)
        answer = await post(phoned, f"factors/{factor_id}/sms")
        assert answer.json() == {"phone_number": "********4567", "expires_in": 600}
        old, new = await sent_codes(app, pool)
        if old != new:
            assert (await post(phoned, "verify", factor_id=factor_id, code=old)).status_code == 403
        assert (await post(phoned, "verify", factor_id=factor_id, code=new)).status_code == 200

    async def test_five_codes_an_hour(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        for _ in range(5):
            assert (await post(phoned, "setup", factor_type="SMS")).status_code == 200
            clock.advance(minutes=1)
        answer = await post(phoned, "setup", factor_type="SMS")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(55 * 60))
        assert len(await sent_codes(app, pool)) == 5

    async def test_many_requests_at_once_send_one(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        factor_id = (await post(phoned, "setup", factor_type="SMS")).json()["factor_id"]
        clock.advance(minutes=1)
        answers = await asyncio.gather(*(post(phoned, f"factors/{factor_id}/sms") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 429, 429, 429, 429]
        assert len(await sent_codes(app, pool)) == 2

    async def test_a_code_confirms_a_change_once(
        self, app: Any, pool: asyncpg.Pool, phoned: Member, clock: SetClock
    ) -> None:
        factor_id = await self.enroll(app, pool, phoned)
        clock.advance(minutes=1)
        assert (await post(phoned, f"factors/{factor_id}/sms")).status_code == 200
        code = (await sent_codes(app, pool))[-1]
        assert (await post(phoned, "recovery-codes", code=code)).status_code == 200
        assert (await post(phoned, "recovery-codes", code=code)).status_code == 403

    async def test_nothing_is_sent_to_an_app(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        answer = await post(member, f"factors/{made.factor_id}/sms")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_sms_factor")


class TestRemoval:
    async def test_a_verified_factor_needs_a_code(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        made = await enable(member, clock)
        answer = await remove(member, made.factor_id)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "code")
        answer = await remove(member, made.factor_id, {"code": made.wrong_code()})
        assert (answer.status_code, answer.json()["code"]) == (403, "mfa_code_refused")
        answer = await remove(member, made.factor_id, {"code": made.new_code()})
        assert (answer.status_code, answer.content) == (204, b"")
        assert await factors_of(member) == ([], 0)
        assert await pool.fetchval("SELECT count(*) FROM recovery_codes") == 0
        assert await actions_of(pool, member) == ["mfa.factor_added", "mfa.factor_removed"]
        assert await changes_mailed(app, pool) == ["factor_added", "factor_removed"]

    async def test_one_that_awaits_its_code_needs_none(self, member: Member, clock: SetClock) -> None:
        made = await set_up(member, clock)
        assert (await remove(member, made.factor_id)).status_code == 204
        assert await factors_of(member) == ([], 0)

    async def test_the_others_stay_and_so_do_recovery_codes(self, member: Member, clock: SetClock) -> None:
        first = await enable(member, clock)
        second = await enable(member, clock)
        assert (await remove(member, first.factor_id, {"code": second.new_code()})).status_code == 204
        (left, codes) = await factors_of(member)
        assert ([factor["factor_id"] for factor in left], codes) == ([second.factor_id], 10)

    async def test_with_the_last_goes_one_that_would_have_no_recovery_codes(
        self, member: Member, clock: SetClock
    ) -> None:
        first = await enable(member, clock)
        await set_up(member, clock)
        assert (await remove(member, first.factor_id, {"code": first.new_code()})).status_code == 204
        assert await factors_of(member) == ([], 0)


class TestDisable:
    async def test_it_removes_everything_and_says_so(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        await enable(member, clock)
        made = await enable(member, clock)
        answer = await post(member, "disable", code=made.new_code())
        assert (answer.status_code, answer.content) == (204, b"")
        assert await factors_of(member) == ([], 0)
        assert (await actions_of(pool, member))[-1] == "mfa.disabled"
        assert (await changes_mailed(app, pool))[-1] == "disabled"
        assert (await member.api.get("/v1/auth/sessions")).status_code == 200

    async def test_it_needs_a_code_however_recent_the_sign_in(self, member: Member, clock: SetClock) -> None:
        await enable(member, clock)
        assert (await post(member, "disable")).status_code == 422

    async def test_there_must_be_something_to_disable(self, member: Member) -> None:
        answer = await post(member, "disable", code="123456")
        assert (answer.status_code, answer.json()["code"]) == (409, "mfa_not_enabled")


class TestRecoveryCodes:
    async def test_new_ones_void_the_old(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        made = await enable(member, clock)
        answer = await post(member, "recovery-codes", code=made.new_code())
        assert answer.status_code == 200
        new = answer.json()["recovery_codes"]
        assert len(set(new) - set(made.recovery_codes)) == 10
        assert (await post(member, "recovery-codes", code=made.recovery_codes[0])).status_code == 403
        assert (await post(member, "recovery-codes", code=new[0])).status_code == 200
        assert (await actions_of(pool, member))[1:] == [
            "mfa.recovery_codes_replaced", "mfa.recovery_code_used", "mfa.recovery_codes_replaced",
        ]  # fmt: skip
        assert len(await changes_mailed(app, pool)) == 4


class TestLock:
    async def try_wrong(self, member: Member, made: Authenticator, times: int) -> list[int]:
        return [(await post(member, "disable", code=made.wrong_code())).status_code for _ in range(times)]

    async def test_a_stolen_session_cannot_guess(
        self, app: Any, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        made = await enable(member, clock)
        assert await self.try_wrong(member, made, 6) == [403] * 5 + [429]
        answer = await post(member, "disable", code=made.new_code())
        assert (answer.status_code, answer.json()["code"]) == (429, "mfa_locked")
        assert answer.headers["Retry-After"] == "30"
        assert (await changes_mailed(app, pool))[-1] == "locked"
        clock.advance(seconds=30)
        assert await self.try_wrong(member, made, 6) == [403] * 5 + [429]
        assert (await post(member, "disable", code=made.code())).headers["Retry-After"] == "120"

    async def test_a_recovery_code_is_taken_all_the_same(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        await self.try_wrong(member, made, 5)
        assert (await post(member, "disable", code=made.recovery_codes[3])).status_code == 204

    async def test_a_wrong_recovery_code_does_not_open_the_lock(
        self, member: Member, clock: SetClock
    ) -> None:
        made = await enable(member, clock)
        await self.try_wrong(member, made, 5)
        assert (await post(member, "disable", code="0000-0000-0000-0000")).status_code == 403
        assert await self.try_wrong(member, made, 1) == [429]

    async def test_a_right_code_forgets_the_wrong_ones(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        await self.try_wrong(member, made, 4)
        assert (await post(member, "recovery-codes", code=made.new_code())).status_code == 200
        assert await self.try_wrong(member, made, 5) == [403] * 5

    async def test_guesses_at_once_are_all_counted(self, member: Member, clock: SetClock) -> None:
        made = await enable(member, clock)
        wrong = made.wrong_code()
        answers = await asyncio.gather(*(post(member, "disable", code=wrong) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [403] * 5 + [429] * 15
