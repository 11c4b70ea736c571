"""Register, sign in, verify, reset, change: over HTTP, with what was to be sent read from the queue."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Actor, ActorKind
from control_plane.domains.passwords.service import Verdict
from control_plane.domains.sessions.model import Device
from control_plane.domains.sign_in import lockout, registration
from control_plane.domains.sign_in import service as sign_in
from control_plane.domains.sign_in.errors import InvalidCredentials
from control_plane.domains.sign_in.model import Identifier
from control_plane.domains.users import store as users
from control_plane.jobs.send_again import send_again
from tests.dialects.members import Member, make_member
from tests.dialects.outbox import read_outbox
from tests.support import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.domains.sessions.model import IssuedTokens
    from control_plane.domains.sign_in.model import Candidate
    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple of a new kind"
ANN = Identifier(email="ann@acme.com")


class Door:
    """What somebody can do who is not signed in, at the tenant "acme"."""

    def __init__(self, app: Any, pool: asyncpg.Pool, client: httpx.AsyncClient, tenant: Any) -> None:
        self.app = app
        self.pool = pool
        self.client = client
        self.tenant_id = tenant["id"]
        self.slug = tenant["slug"]

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post(f"/v1/auth{path}", json=body, headers=headers)

    async def register(self, **changes: Any) -> httpx.Response:
        body = {"tenant_slug": self.slug, "email": "ann@acme.com", "password": PASSWORD} | changes
        return await self.post("/register", {name: value for name, value in body.items() if value != ""})

    async def log_in(self, password: str = PASSWORD, **changes: Any) -> httpx.Response:
        body = {"tenant_slug": self.slug, "email": "ann@acme.com", "password": password} | changes
        return await self.post("/login", {name: value for name, value in body.items() if value != ""})

    async def last_message(self) -> Any:
        return (await read_outbox(self.app, self.pool))[-1]

    async def register_and_verify(self, **changes: Any) -> None:
        token = (await self.register(**changes)).json()["verification_token"]
        code = (await self.last_message()).data["code"]
        kind = "phone" if "phone_number" in changes else "email"
        assert (await self.post(f"/verify/{kind}", {"token": token, "code": code})).status_code == 200


@pytest.fixture
async def door(app: Any, pool: asyncpg.Pool, anonymous: httpx.AsyncClient, member: Member) -> Door:
    tenant = await pool.fetchrow("SELECT id, slug FROM tenants WHERE id = $1", member.tenant_id)
    return Door(app, pool, anonymous, tenant)


class TestRegister:
    async def test_the_whole_way(self, door: Door) -> None:
        answer = await door.register(full_name="Ann", accept_terms=True)
        assert answer.status_code == 201
        body = answer.json()
        assert body["verification_required"] is True
        refused = await door.log_in()
        assert (refused.status_code, refused.json()["code"]) == (403, "verification_required")
        message = await door.last_message()
        assert (message.to, message.template) == ("ann@acme.com", "verify_email")
        assert len(message.data["code"]) == 6
        sent_back = {"token": body["verification_token"], "code": message.data["code"]}
        assert (await door.post("/verify/email", sent_back)).status_code == 200
        tokens = (await door.log_in()).json()
        assert tokens["user"]["id"] == body["user_id"]
        assert tokens["user"]["email_verified"] is True
        assert tokens["tenant"]["slug"] == door.slug
        assert (await door.post("/verify/email", sent_back)).status_code == 422

    async def test_by_phone(self, door: Door) -> None:
        await door.register_and_verify(email="", phone_number="+55 11 98765-4321")
        answer = await door.log_in(email="", phone_number="+5511987654321")
        assert answer.status_code == 200
        assert answer.json()["user"]["phone_verified"] is True

    async def test_an_address_that_somebody_has_looks_the_same(self, door: Door, pool: asyncpg.Pool) -> None:
        await door.register_and_verify()
        again = await door.register(email="ANN@ACME.COM", password=NEW_PASSWORD)
        assert again.status_code == 201
        assert set(again.json()) == {"user_id", "verification_required", "verification_token"}
        assert (await door.last_message()).template == "already_registered"
        assert await pool.fetchval("SELECT count(*) FROM users WHERE email_key = 'ann@acme.com'") == 1
        assert (await door.log_in(NEW_PASSWORD)).status_code == 401
        sent_back = {"token": again.json()["verification_token"], "code": "000000"}
        assert (await door.post("/verify/email", sent_back)).status_code == 422

    async def test_its_owner_is_told_so_five_times_an_hour_at_most(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        for _ in range(8):
            clock.advance(seconds=31)
            assert (await door.register()).status_code == 201
            assert (await door.register()).status_code == 201
        told = [message.template for message in await read_outbox(app, pool)]
        assert told == ["verify_email"] + 5 * ["already_registered"]

    async def test_two_at_once_make_one_user(self, door: Door, pool: asyncpg.Pool) -> None:
        answers = await asyncio.gather(*(door.register() for _ in range(5)))
        assert {answer.status_code for answer in answers} == {201}
        assert await pool.fetchval("SELECT count(*) FROM users WHERE email_key = 'ann@acme.com'") == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"email": "ann"}, "email"),
            ({"email": ""}, "email"),
            ({"phone_number": "+5511987654321"}, "email"),
            ({"email": "", "phone_number": "98765"}, "phone_number"),
            ({"password": "short"}, "password"),
            ({"password": "password1"}, "password"),
            ({"password": "p" * 300}, "password"),
            ({"accept_terms": False}, "accept_terms"),
            ({"tenant_slug": "nobody"}, "tenant_slug"),
            ({"full_name": 7}, "full_name"),
        ],
    )
    async def test_faults_are_named(self, door: Door, changes: dict[str, Any], field: str) -> None:
        answer = await door.register(**changes)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]
        assert PASSWORD not in answer.text

    async def test_the_first_user_of_a_tenant_is_its_admin(self, door: Door, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE users SET deleted_at = now() WHERE tenant_id = $1", door.tenant_id)
        await door.register()
        await door.register(email="ben@acme.com")
        rows = await pool.fetch(
            "SELECT role FROM users WHERE tenant_id = $1 AND deleted_at IS NULL ORDER BY id", door.tenant_id
        )
        assert [row["role"] for row in rows] == ["admin", "viewer"]

    async def test_no_more_than_the_tenant_may_have(self, door: Door, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE tenants SET max_users = 2 WHERE id = $1", door.tenant_id)
        assert (await door.register()).status_code == 409


class TestLogin:
    async def refusals(self, door: Door) -> list[Any]:
        """Sign in wrongly in every way that there is; give the answers, without what names the request."""
        answers = [
            await door.log_in("a wrong password"),
            await door.log_in(email="nobody@acme.com"),
            await door.log_in(email="", phone_number="+5511987654321"),
            await door.log_in(tenant_slug="nobody"),
        ]
        return [
            (answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"})
            for answer in answers
        ]

    async def test_all_refusals_are_the_same_and_cost_the_same(self, app: Any, door: Door) -> None:
        await door.register_and_verify()
        before = app.state.services.passwords.done
        refusals = await self.refusals(door)
        assert refusals[0][0] == 401
        assert refusals.count(refusals[0]) == 4
        assert app.state.services.passwords.done - before == 4

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET is_active = false",
            "UPDATE users SET banned_at = '2026-01-01'",
            "UPDATE users SET deleted_at = '2026-01-01'",
            "UPDATE users SET password_hash = NULL",
            "UPDATE tenants SET status = 'Suspended'",
        ],
    )
    async def test_who_may_not_is_told_no_more(self, door: Door, pool: asyncpg.Pool, change: str) -> None:
        await door.register_and_verify()
        await pool.execute(change)
        answer = await door.log_in()
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")

    async def test_a_ban_ends_by_itself(self, door: Door, pool: asyncpg.Pool, clock: SetClock) -> None:
        await door.register_and_verify()
        await pool.execute("UPDATE users SET banned_at = $1, banned_until = $2", clock(), clock())
        assert (await door.log_in()).status_code == 200

    async def test_the_same_address_at_another_tenant_is_somebody_else(
        self, door: Door, pool: asyncpg.Pool, stranger: Member
    ) -> None:
        await door.register_and_verify()
        slug = await pool.fetchval("SELECT slug FROM tenants WHERE id = $1", stranger.tenant_id)
        assert (await door.log_in(tenant_slug=slug)).status_code == 401

    async def test_the_session_says_where_it_is_from(self, door: Door) -> None:
        await door.register_and_verify()
        tokens = (await door.log_in(device_id="d-1", device_name="Ann's phone")).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        (session,) = (await door.client.get("/v1/auth/sessions", headers=bearer)).json()["sessions"]
        assert session["device_name"] == "Ann's phone"
        assert session["user_agent"].startswith("python-httpx")

    async def test_an_outdated_hash_is_made_anew(self, door: Door, pool: asyncpg.Pool) -> None:
        from argon2 import PasswordHasher  # noqa: PLC0415

        await door.register_and_verify()
        weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
        await pool.execute("UPDATE users SET password_hash = $1 WHERE email_key = 'ann@acme.com'", weak)
        assert (await door.log_in()).status_code == 200
        stored = await pool.fetchval("SELECT password_hash FROM users WHERE email_key = 'ann@acme.com'")
        assert "m=19456,t=2,p=1" in stored
        assert (await door.log_in()).status_code == 200


class TestLockout:
    async def fail(self, door: Door, times: int) -> None:
        for _ in range(times):
            assert (await door.log_in("a wrong password")).status_code == 401

    async def test_five_failures_lock_for_a_minute_and_ten_for_two(self, door: Door, clock: SetClock) -> None:
        await door.register_and_verify()
        for minutes in (1, 2):
            await self.fail(door, 5)
            assert (await door.log_in()).status_code == 401
            clock.advance(minutes=minutes, seconds=-1)
            assert (await door.log_in()).status_code == 401
            clock.advance(seconds=1)
        assert (await door.log_in()).status_code == 200

    async def test_nothing_is_counted_while_locked(
        self, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        await self.fail(door, 12)
        assert await pool.fetchval("SELECT max(failures) FROM login_failures") == 5
        clock.advance(minutes=1)
        assert (await door.log_in()).status_code == 200
        left = await pool.fetch("SELECT failures FROM login_failures")
        assert [row["failures"] for row in left] == [5]  # the address's own

    async def test_a_lock_is_never_longer_than_a_quarter_of_an_hour(
        self, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        await self.fail(door, 1)
        await pool.execute("UPDATE login_failures SET failures = 499")
        await self.fail(door, 1)
        clock.advance(minutes=15)
        assert (await door.log_in()).status_code == 200

    async def test_half_a_day_forgets(self, door: Door, clock: SetClock, pool: asyncpg.Pool) -> None:
        await self.fail(door, 4)
        clock.advance(hours=12, seconds=1)
        await self.fail(door, 1)
        assert await pool.fetchval("SELECT max(failures) FROM login_failures") == 1

    async def test_an_address_that_tries_many_accounts_waits(
        self, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        await self.fail(door, 1)
        await pool.execute("UPDATE login_failures SET failures = 49 WHERE failures = 1")
        for number in range(3):
            await door.log_in(email=f"n{number}@acme.com")
        assert (await door.log_in()).status_code == 401
        clock.advance(minutes=15)
        assert (await door.log_in()).status_code == 200

    async def test_a_lock_on_an_account_is_on_record(self, door: Door, pool: asyncpg.Pool) -> None:
        await door.register_and_verify()
        await self.fail(door, 5)
        assert await pool.fetchval("SELECT count(*) FROM audit_log WHERE action = 'user.lock'") == 1

    async def test_more_than_can_be_hashed_are_told_to_come_back(self, door: Door) -> None:
        answers = await asyncio.gather(*(door.log_in(email=f"n{n}@acme.com") for n in range(200)))
        statuses = {answer.status_code for answer in answers}
        assert statuses == {401, 429}
        assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)


class TestGuessesSideBySide:
    """What happens to a sign-in while its password is checked, which no lock and no connection waits for."""

    RIGHT = Verdict(is_right=True)

    async def look_up(self, app: Any, door: Door, clock: SetClock) -> Candidate:
        async with app.state.services.transaction(door.tenant_id) as db:
            return await sign_in.look_up(db, door.tenant_id, ANN, None, clock())

    async def settle(self, app: Any, door: Door, candidate: Candidate, clock: SetClock) -> IssuedTokens:
        services = app.state.services
        async with services.transaction(door.tenant_id) as db:
            return await sign_in.settle(
                db,
                door.tenant_id,
                ANN,
                candidate,
                verdict=self.RIGHT,
                device=Device(),
                policy=services.session_policy,
                now=clock(),
            )

    async def test_a_right_one_after_five_wrong_ones_is_too_late(
        self, app: Any, door: Door, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        candidate = await self.look_up(app, door, clock)
        for _ in range(5):
            await door.log_in("a wrong password")
        assert not candidate.is_locked
        with pytest.raises(InvalidCredentials):
            await self.settle(app, door, candidate, clock)

    async def test_a_right_one_waits_for_the_fifth_wrong_one(
        self, app: Any, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        for _ in range(4):
            await door.log_in("a wrong password")
        candidate = await self.look_up(app, door, clock)
        async with app.state.services.transaction(door.tenant_id) as db:
            assert await lockout.count_failure(db, door.tenant_id, ANN, None, clock()) is not None
            settling = asyncio.create_task(self.settle(app, door, candidate, clock))
            await eventually(lambda: is_anybody_waiting(pool))
        with pytest.raises(InvalidCredentials):
            await settling

    async def test_the_old_password_begins_no_session_beside_a_new_one(
        self, app: Any, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        candidate = await self.look_up(app, door, clock)
        assert candidate.user is not None
        async with app.state.services.transaction(door.tenant_id) as db:
            await users.set_password(db, door.tenant_id, candidate.user.id, "another hash", clock())
            settling = asyncio.create_task(self.settle(app, door, candidate, clock))
            await eventually(lambda: is_anybody_waiting(pool))
        with pytest.raises(InvalidCredentials):
            await settling

    async def test_a_change_after_five_wrong_ones_is_too_late(
        self, app: Any, door: Door, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        tokens = (await door.log_in()).json()
        candidate = await self.look_up(app, door, clock)
        for _ in range(5):
            await door.log_in("a wrong password")
        actor = Actor(
            kind=ActorKind.USER,
            tenant_id=door.tenant_id,
            user_id=uuid.UUID(tokens["user"]["id"]),
            credential_id=uuid.uuid4(),
        )
        services = app.state.services
        with pytest.raises(InvalidCredentials):
            async with services.transaction(door.tenant_id) as db:
                await registration.change_password(
                    db,
                    services.sealer,
                    actor,
                    identifier=ANN,
                    checked_hash=candidate.password_hash,
                    password_hash="another hash",
                    now=clock(),
                )


async def is_anybody_waiting(pool: asyncpg.Pool) -> bool:
    """Tell whether a connection to this database waits for a lock."""
    waiting: bool = await pool.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    return waiting


class TestVerify:
    async def test_five_tries(self, door: Door) -> None:
        token = (await door.register()).json()["verification_token"]
        code = (await door.last_message()).data["code"]
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        for _ in range(5):
            answer = await door.post("/verify/email", {"token": token, "code": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_code")
        answer = await door.post("/verify/email", {"token": token, "code": code})
        assert answer.status_code == 422

    async def test_ten_minutes(self, door: Door, clock: SetClock) -> None:
        token = (await door.register()).json()["verification_token"]
        code = (await door.last_message()).data["code"]
        clock.advance(minutes=10)
        assert (await door.post("/verify/email", {"token": token, "code": code})).status_code == 422

    async def test_a_code_is_for_its_own_token_and_purpose(self, door: Door) -> None:
        first = (await door.register()).json()["verification_token"]
        code = (await door.last_message()).data["code"]
        second = (await door.register(email="ben@acme.com")).json()["verification_token"]
        other = (await door.last_message()).data["code"]
        if code != other:
            assert (await door.post("/verify/email", {"token": second, "code": code})).status_code == 422
        assert (await door.post("/verify/phone", {"token": first, "code": code})).status_code == 422

    @pytest.mark.parametrize("token", ["x", "syv_", "syp_abc", "syr_" + "A" * 64])
    async def test_what_is_no_token(self, door: Door, token: str) -> None:
        answer = await door.post("/verify/email", {"token": token, "code": "123456"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_code")

    async def test_a_new_code_kills_the_old(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        old = (await door.register()).json()["verification_token"]
        old_code = (await door.last_message()).data["code"]
        clock.advance(seconds=31)
        answer = await door.post("/verify/resend", {"token": old})
        assert answer.status_code == 202
        await run_jobs(app, pool, clock)
        code = (await door.last_message()).data["code"]
        assert (await door.post("/verify/email", {"token": old, "code": old_code})).status_code == 422
        sent_back = {"token": answer.json()["verification_token"], "code": code}
        assert (await door.post("/verify/email", sent_back)).status_code == 200

    async def test_nobody_is_sent_more_than_five_an_hour(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        token = (await door.register()).json()["verification_token"]
        for _ in range(8):
            clock.advance(seconds=31)
            answer = await door.post("/verify/resend", {"token": token})
            assert answer.status_code == 202
            await run_jobs(app, pool, clock)
        assert len(await read_outbox(app, pool)) == 5

    async def test_a_token_that_means_nothing_gets_the_same_answer(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        sent = len(await read_outbox(app, pool))
        # Ann has an account, so what this registration answers is a token of nothing.
        token = (await door.register(password=NEW_PASSWORD)).json()["verification_token"]
        answer = await door.post("/verify/resend", {"token": token})
        assert answer.status_code == 202
        assert answer.json()["verification_token"].startswith("syv_")
        await run_jobs(app, pool, clock)
        assert [one.template for one in (await read_outbox(app, pool))[sent:]] == ["already_registered"]

    async def test_an_address_that_a_stranger_registered_is_not_verified_for_them(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        await door.register(password="a stranger's password")
        mine = (await door.register()).json()["verification_token"]
        clock.advance(seconds=31)
        await door.post("/verify/resend", {"token": mine})
        await run_jobs(app, pool, clock)
        assert [one.template for one in await read_outbox(app, pool)] == [
            "verify_email",
            "already_registered",
        ]

    async def test_after_a_day_a_token_is_too_old(
        self, app: Any, door: Door, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        token = (await door.register()).json()["verification_token"]
        clock.advance(hours=24)
        assert (await door.post("/verify/resend", {"token": token})).status_code == 202
        await run_jobs(app, pool, clock)
        assert len(await read_outbox(app, pool)) == 1

    @pytest.mark.parametrize("token", ["x", "syr_" + "A" * 64])
    async def test_what_is_no_token_at_all_is_refused(self, door: Door, token: str) -> None:
        assert (await door.post("/verify/resend", {"token": token})).status_code == 422


class TestReset:
    async def ask(self, app: Any, door: Door, clock: SetClock) -> str:
        who = {"tenant_slug": door.slug, "email": "ann@acme.com"}
        answer = await door.post("/password/reset/request", who)
        assert (answer.status_code, answer.json()) == (202, {})
        await run_jobs(app, door.pool, clock)
        message = await door.last_message()
        assert message.template == "password_reset"
        token: str = message.data["token"]
        return token

    async def test_gives_a_new_password_and_ends_sessions(
        self, app: Any, door: Door, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        bearer = {"Authorization": f"Bearer {(await door.log_in()).json()['access_token']}"}
        token = await self.ask(app, door, clock)
        new = {"token": token, "new_password": NEW_PASSWORD}
        assert (await door.post("/password/reset/confirm", new)).status_code == 200
        assert (await door.client.get("/v1/users/me", headers=bearer)).status_code == 401
        assert (await door.log_in()).status_code == 401
        assert (await door.log_in(NEW_PASSWORD)).status_code == 200
        assert (await door.last_message()).template == "password_changed"
        assert (await door.post("/password/reset/confirm", new)).status_code == 422

    async def test_opens_a_locked_account_and_verifies_the_address(
        self, app: Any, door: Door, clock: SetClock
    ) -> None:
        await door.register()
        for _ in range(5):
            await door.log_in("a wrong password")
        new = {"token": await self.ask(app, door, clock), "new_password": NEW_PASSWORD}
        assert (await door.post("/password/reset/confirm", new)).status_code == 200
        assert (await door.log_in(NEW_PASSWORD)).status_code == 200

    async def test_half_an_hour(self, app: Any, door: Door, clock: SetClock) -> None:
        await door.register_and_verify()
        token = await self.ask(app, door, clock)
        clock.advance(minutes=30)
        new = {"token": token, "new_password": NEW_PASSWORD}
        answer = await door.post("/password/reset/confirm", new)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "token")

    async def test_does_not_pass_a_second_factor(
        self, app: Any, door: Door, clock: SetClock, pool: asyncpg.Pool
    ) -> None:
        await door.register_and_verify()
        await pool.execute(
            "INSERT INTO mfa_factors (tenant_id, id, user_id, kind, secret, created_at, verified_at)"
            " SELECT tenant_id, gen_random_uuid(), id, 'TOTP', '\\x00', now(), now() FROM users"
            " WHERE email_key = 'ann@acme.com'"
        )
        new = {"token": await self.ask(app, door, clock), "new_password": NEW_PASSWORD}
        assert (await door.post("/password/reset/confirm", new)).status_code == 200
        answer = await door.log_in(NEW_PASSWORD)
        assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
        assert answer.json()["mfa_token"].startswith("sym_")

    async def test_a_code_is_no_reset_and_a_weak_password_none(
        self, app: Any, door: Door, clock: SetClock
    ) -> None:
        code_token = (await door.register()).json()["verification_token"]
        new = {"token": code_token, "new_password": NEW_PASSWORD}
        assert (await door.post("/password/reset/confirm", new)).status_code == 422
        token = await self.ask(app, door, clock)
        weak = await door.post("/password/reset/confirm", {"token": token, "new_password": "password"})
        assert weak.json()["errors"][0]["field"] == "new_password"
        new = {"token": token, "new_password": NEW_PASSWORD}
        assert (await door.post("/password/reset/confirm", new)).status_code == 200


class TestChange:
    async def test_anonymous(self, door: Door) -> None:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await door.post("/password/change", body)).status_code == 401

    async def test_ends_other_sessions(self, door: Door) -> None:
        await door.register_and_verify()
        mine, other = [
            {"Authorization": f"Bearer {(await door.log_in()).json()['access_token']}"} for _ in range(2)
        ]
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        answer = await door.client.post("/v1/auth/password/change", json=body, headers=mine)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await door.client.get("/v1/users/me", headers=mine)).status_code == 200
        assert (await door.client.get("/v1/users/me", headers=other)).status_code == 401
        assert (await door.last_message()).template == "password_changed"
        assert (await door.log_in(NEW_PASSWORD)).status_code == 200

    async def test_a_stolen_session_cannot_guess_the_password(self, door: Door) -> None:
        await door.register_and_verify()
        mine = {"Authorization": f"Bearer {(await door.log_in()).json()['access_token']}"}
        for guess in ["wrong guess number"] * 5 + [PASSWORD]:
            body = {"current_password": guess, "new_password": NEW_PASSWORD}
            answer = await door.client.post("/v1/auth/password/change", json=body, headers=mine)
            assert answer.status_code == 401
        assert (await door.log_in()).status_code == 401


class TestCookie:
    async def test_only_where_asked_for(self, door: Door) -> None:
        await door.register_and_verify()
        plain = await door.log_in()
        assert "Set-Cookie" not in plain.headers
        body = {"tenant_slug": door.slug, "email": "ann@acme.com", "password": PASSWORD}
        answer = await door.post("/login", body, **{"X-Refresh-Cookie": "1"})
        assert answer.json()["refresh_token"] == ""
        cookie = answer.headers["Set-Cookie"]
        for part in ("switchyard_refresh=syr_", "HttpOnly", "SameSite=strict", "Path=/v1/auth"):
            assert part in cookie

    async def test_carries_a_session_on_and_is_dropped_at_its_end(self, door: Door) -> None:
        await door.register_and_verify()
        body = {"tenant_slug": door.slug, "email": "ann@acme.com", "password": PASSWORD}
        await door.post("/login", body, **{"X-Refresh-Cookie": "1"})
        assert (await door.post("/refresh", {})).status_code == 422  # a form of another page sends no header
        answer = await door.post("/refresh", {}, **{"X-Refresh-Cookie": "1"})
        assert answer.status_code == 200
        bearer = f"Bearer {answer.json()['access_token']}"
        gone = await door.post("/logout", {}, Authorization=bearer)
        assert (gone.status_code, "Max-Age=0" in gone.headers["Set-Cookie"]) == (204, True)
        assert (await door.post("/refresh", {}, **{"X-Refresh-Cookie": "1"})).status_code == 422


class TestOtherTenants:
    async def test_a_token_opens_nothing_elsewhere(
        self, door: Door, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        await door.register_and_verify()
        access = (await door.log_in()).json()["access_token"]
        other = await make_member(app, pool, settings, clock())
        path = f"/v1/tenants/{other.tenant_id}"
        answer = await door.client.get(path, headers={"Authorization": f"Bearer {access}"})
        assert answer.status_code == 404


async def run_jobs(app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
    """Do what the jobs worker would do with the requests to send something again."""
    rows = await pool.fetch(
        "WITH taken AS (DELETE FROM pgqueuer WHERE entrypoint = 'send_again' RETURNING id, payload)"
        " SELECT payload FROM taken ORDER BY id"
    )
    for row in rows:
        await send_again(pool, app.state.services.sealer, 1, row["payload"], clock())
