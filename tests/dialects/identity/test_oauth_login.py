from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from control_plane.app import create_app
from control_plane.core.actor import Role
from control_plane.core.ids import new_id
from tests.dialects.identity.federated import (  # noqa: F401  fixtures, found by name
    APP_URI,
    Visitor,
    google,
    namesake,
    settings,
    slug_of,
    telegram,
    tenant_id,
    visitor,
)
from tests.dialects.links.conftest import count_rows, running
from tests.dialects.members import client_of, make_tenant
from tests.oidc_provider import CLIENT_ID, REDIRECT_URI

if TYPE_CHECKING:
    import uuid

    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member
    from tests.oidc_provider import OidcProvider

# ruff: noqa: F811  fixtures are named as what they give


async def whose(app: Any, answer: httpx.Response) -> dict[str, Any]:
    """Use the tokens of an answer, and read whose they are in the database."""
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    api = client_of(app, {"Authorization": f"Bearer {tokens['access_token']}"})
    assert len((await api.get("/v1/auth/sessions")).json()["sessions"]) >= 1
    renewed = await api.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200
    async with app.state.services.pool.acquire() as db, db.transaction():
        await db.execute("SET LOCAL ROLE switchyard_system")
        return dict(await db.fetchrow("SELECT * FROM users WHERE register_mode <> 'password'"))


class TestStart:
    async def test_it_sends_the_user_to_the_provider_with_everything_that_binds_them(
        self, visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool
    ) -> None:
        answer = await visitor.start()
        assert answer.status_code == 200
        body = answer.json()
        url = urlsplit(body["authorization_url"])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{google.issuer}/authorize"
        query = parse_qs(url.query)
        assert query["hl"] == ["en"]
        assert query["state"] == [body["state"]]
        assert (query["response_type"], query["code_challenge_method"]) == (["code"], ["S256"])
        assert (query["client_id"], query["redirect_uri"]) == ([CLIENT_ID], [REDIRECT_URI])
        assert query["scope"] == ["openid email profile"]
        assert body["expires_at"] == "2026-05-04T10:30:30Z"
        [row] = await pool.fetch("SELECT * FROM oauth_attempts")
        assert row["nonce"] == query["nonce"][0]
        assert body["state"].encode() not in row["state_hash"]
        assert len(row["code_verifier"]) == 2 + 12 + 43 + 16

    async def test_no_two_are_alike(self, visitor: Visitor) -> None:
        urls = [(await visitor.start()).json()["authorization_url"] for _ in range(2)]
        queries = [parse_qs(urlsplit(url).query) for url in urls]
        for name in ("state", "nonce", "code_challenge"):
            assert queries[0][name] != queries[1][name]

    @pytest.mark.parametrize(
        "uri",
        [
            "https://evil.test/",
            f"{REDIRECT_URI}/",
            f"{REDIRECT_URI}#",
            f" {REDIRECT_URI}",
            REDIRECT_URI.upper(),
            REDIRECT_URI.removesuffix("?from=provider"),
            "https://app.acme.test@evil.test/signed-in?from=provider",
            "//app.acme.test/signed-in",
            f"{REDIRECT_URI}, {APP_URI}",
            ",",
        ],
    )
    async def test_a_redirect_uri_that_is_not_allowed_is_refused(
        self, visitor: Visitor, pool: asyncpg.Pool, uri: str
    ) -> None:
        answer = await visitor.start(redirect_uri=uri)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "redirect_uri")
        assert await count_rows(pool, "oauth_attempts") == 0

    async def test_an_app_may_have_a_scheme_of_its_own(self, visitor: Visitor) -> None:
        assert (await visitor.start(redirect_uri=APP_URI)).status_code == 200

    async def test_what_is_not_there_is_not_found(self, visitor: Visitor) -> None:
        answer = await visitor.start("facebook")
        assert (answer.status_code, answer.json()["code"]) == (404, "provider_not_configured")
        answer = await visitor.start(tenant_slug="nobody")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_without_a_client_id_there_is_no_provider(
        self, visitor: Visitor, settings: Settings, clock: SetClock
    ) -> None:
        without = msgspec.structs.replace(settings, google_client_id="", google_client_secret="")
        app = create_app(without, clock)
        async with running(app):
            visitor.api = client_of(app)
            answers = [await visitor.start(), await visitor.finish(visitor.common | {"code": "c"})]
        assert [answer.json()["code"] for answer in answers] == ["provider_not_configured"] * 2

    async def test_attempts_that_expired_are_swept(
        self, visitor: Visitor, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        await visitor.start()
        clock.advance(minutes=9)
        await visitor.start()
        assert await count_rows(pool, "oauth_attempts") == 2
        clock.advance(minutes=9)
        await visitor.start()
        assert await count_rows(pool, "oauth_attempts") == 2

    async def test_starts_of_one_address_are_limited(self, visitor: Visitor, app: Any) -> None:
        now = app.state.services.clock()
        for _ in range(600):
            await app.state.services.limiter.count_request("oauth_start:127.0.0.1", 600, now)
        answer = await visitor.start()
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


class TestFirstSignIn:
    async def test_google_makes_a_user(
        self, app: Any, visitor: Visitor, pool: asyncpg.Pool, tenant_id: uuid.UUID, clock: SetClock
    ) -> None:
        user = await whose(app, await visitor.go())
        assert (user["tenant_id"], user["role"], user["register_mode"]) == (tenant_id, "viewer", "google")
        assert (user["email"], user["email_verified_at"]) == ("jane@acme.test", clock())
        assert (user["full_name"], user["password_hash"]) == ("Jane Roe", None)
        [entry] = await pool.fetch("SELECT * FROM audit_log")
        assert (entry["action"], entry["entity_id"]) == ("user.register", str(user["id"]))
        assert (entry["after"]["provider"], entry["after"]["subject"]) == ("google", "1094")

    async def test_telegram_makes_one_without_an_address(self, app: Any, visitor: Visitor) -> None:
        user = await whose(app, await visitor.go("telegram"))
        assert (user["email"], user["full_name"], user["register_mode"]) == (None, "Jane", "telegram")

    @pytest.mark.usefixtures("namesake")
    @pytest.mark.parametrize("verified", [False, "true", 1, None])
    async def test_an_address_that_is_not_verified_is_left_aside(
        self, app: Any, visitor: Visitor, google: OidcProvider, verified: object
    ) -> None:
        """Be it somebody's or nobody's: the answers are the same."""
        google.claims["email_verified"] = verified
        user = await whose(app, await visitor.go())
        assert (user["email"], user["email_verified_at"]) == (None, None)

    async def test_an_address_that_another_user_has_links_nothing(
        self, visitor: Visitor, pool: asyncpg.Pool, namesake: Member
    ) -> None:
        users = await count_rows(pool, "users")
        answer = await visitor.go()
        assert (answer.status_code, answer.json()["code"]) == (409, "account_exists")
        assert "Sign in with your password, then link google" in answer.json()["detail"]
        assert namesake.email not in answer.text
        assert await count_rows(pool, "federated_identities") == 0
        assert await count_rows(pool, "users") == users

    async def test_the_same_person_is_somebody_else_in_another_tenant(
        self, visitor: Visitor, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        assert (await visitor.go()).status_code == 200
        visitor.common["tenant_slug"] = await slug_of(pool, await make_tenant(pool, clock()))
        assert (await visitor.go()).status_code == 200
        owners = await pool.fetch("SELECT DISTINCT tenant_id FROM federated_identities")
        assert len(owners) == 2

    async def test_two_at_once_make_one_user(self, visitor: Visitor, pool: asyncpg.Pool) -> None:
        bodies = [await visitor.travel() for _ in range(6)]
        answers = await asyncio.gather(*(visitor.finish(body) for body in bodies))
        assert [answer.status_code for answer in answers] == [200] * 6
        assert await pool.fetchval("SELECT count(*) FROM users WHERE register_mode = 'google'") == 1
        assert await count_rows(pool, "sessions") == 6

    @pytest.mark.parametrize("name", ["Jane\0Roe", "\ud800", 7, "", "  "])
    async def test_a_name_that_cannot_be_shown_is_left_out(
        self, app: Any, visitor: Visitor, google: OidcProvider, name: object
    ) -> None:
        google.claims["name"] = name
        assert (await whose(app, await visitor.go()))["full_name"] is None

    async def test_a_token_gives_no_role(self, app: Any, visitor: Visitor, google: OidcProvider) -> None:
        google.claims = {"role": "admin", "is_superadmin": True, "tenant_id": "x"}
        user = await whose(app, await visitor.go())
        assert (Role(user["role"]), user["is_superadmin"]) == (Role.VIEWER, False)


class TestNextSignIn:
    async def test_it_is_the_same_user_whatever_their_address_is_now(
        self, app: Any, visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool
    ) -> None:
        first = await whose(app, await visitor.go())
        google.person |= {"email": "moved@acme.test", "name": "J. Doe"}
        again = await whose(app, await visitor.go())
        assert (again["id"], again["email"]) == (first["id"], "jane@acme.test")
        assert await count_rows(pool, "audit_log") == 1

    async def test_an_issuer_without_a_scheme_is_google_too(
        self, app: Any, visitor: Visitor, google: OidcProvider
    ) -> None:
        first = await whose(app, await visitor.go())
        google.claims["iss"] = google.issuer.removeprefix("http://")
        assert (await whose(app, await visitor.go()))["id"] == first["id"]

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE users SET is_active = false",
            "UPDATE users SET banned_at = '2026-05-04', banned_until = NULL",
            "UPDATE users SET banned_at = '2026-05-04', banned_until = '2027-01-01'",
        ],
    )
    async def test_who_may_not_sign_in_is_not_told_why(
        self, visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool, change: str
    ) -> None:
        await visitor.go()
        await pool.execute(change)
        banned = await visitor.go()
        google.claims["nonce"] = "another"
        forged = await visitor.go()
        assert (banned.status_code, banned.json()["code"]) == (401, "oauth_refused")
        assert banned.json() | {"request_id": ""} == forged.json() | {"request_id": ""}

    async def test_a_ban_that_is_over_is_over(self, visitor: Visitor, pool: asyncpg.Pool) -> None:
        await visitor.go()
        await pool.execute("UPDATE users SET banned_at = '2026-05-01', banned_until = '2026-05-04'")
        assert (await visitor.go()).status_code == 200

    async def test_a_suspended_tenant_lets_nobody_in(self, visitor: Visitor, pool: asyncpg.Pool) -> None:
        body = await visitor.travel()
        await pool.execute("UPDATE tenants SET status = 'Suspended'")
        answer = await visitor.finish(body)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_oauth_state")
        assert (await visitor.start()).status_code == 404

    async def test_who_was_deleted_begins_anew(self, app: Any, visitor: Visitor, pool: asyncpg.Pool) -> None:
        first = await whose(app, await visitor.go())
        await pool.execute("UPDATE users SET deleted_at = now() WHERE id = $1", first["id"])
        assert (await visitor.go()).status_code == 200
        owner = await pool.fetchval("SELECT user_id FROM federated_identities")
        assert owner != first["id"]

    async def test_a_second_factor_is_asked_for(
        self, app: Any, visitor: Visitor, pool: asyncpg.Pool, tenant_id: uuid.UUID, clock: SetClock
    ) -> None:
        user = await whose(app, await visitor.go())
        await pool.execute(
            "INSERT INTO mfa_factors (tenant_id, id, user_id, kind, secret, created_at, verified_at)"
            " VALUES ($1, $2, $3, 'TOTP', '\\x00', $4, $4)",
            *(tenant_id, new_id(), user["id"], clock()),
        )
        sessions = await count_rows(pool, "sessions")
        answer = await visitor.go()
        assert (answer.status_code, answer.json()["code"]) == (403, "mfa_required")
        assert answer.json()["mfa_token"]
        assert await count_rows(pool, "mfa_challenges") == 1
        assert await count_rows(pool, "sessions") == sessions


class TestState:
    async def refused(self, visitor: Visitor, body: dict[str, str], provider: str = "google") -> None:
        answer = await visitor.finish(body, provider)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_oauth_state")

    async def test_it_is_required(self, visitor: Visitor) -> None:
        body = await visitor.travel()
        del body["state"]
        answer = await visitor.finish(body)
        assert answer.status_code == 422
        assert "state is required: /v1/auth/login/oauth/google/start answers it" in answer.json()["detail"]

    async def test_it_serves_once(self, visitor: Visitor) -> None:
        body = await visitor.travel()
        assert (await visitor.finish(body)).status_code == 200
        await self.refused(visitor, body)

    async def test_it_is_used_up_by_a_failure_too(self, visitor: Visitor) -> None:
        body = await visitor.travel()
        assert (await visitor.finish(body | {"code": "guessed"})).json()["code"] == "oauth_refused"
        await self.refused(visitor, body)

    async def test_of_two_at_once_one_wins(
        self, visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool
    ) -> None:
        body = await visitor.travel()
        answers = await asyncio.gather(*(visitor.finish(body) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
        assert google.requests["/token"] == 1
        assert await count_rows(pool, "sessions") == 1

    async def test_it_lasts_ten_minutes(self, visitor: Visitor, clock: SetClock) -> None:
        early, late = await visitor.travel(), await visitor.travel()
        clock.advance(minutes=9, seconds=59)
        assert (await visitor.finish(early)).status_code == 200
        clock.advance(seconds=1)
        await self.refused(visitor, late)

    async def test_it_is_of_one_tenant(self, visitor: Visitor, pool: asyncpg.Pool, clock: SetClock) -> None:
        body = await visitor.travel()
        other = await slug_of(pool, await make_tenant(pool, clock()))
        await self.refused(visitor, body | {"tenant_slug": other})
        await self.refused(visitor, body | {"tenant_slug": "nobody"})
        assert (await visitor.finish(body)).status_code == 200

    async def test_it_is_of_one_provider(self, visitor: Visitor, telegram: OidcProvider) -> None:
        body = await visitor.travel()
        await self.refused(visitor, body, "telegram")
        assert telegram.requests["/token"] == 0

    async def test_it_is_of_one_redirect_uri(self, visitor: Visitor) -> None:
        body = await visitor.travel()
        await self.refused(visitor, body | {"redirect_uri": APP_URI})
        assert (await visitor.finish(body | {"redirect_uri": REDIRECT_URI})).status_code == 200

    async def test_it_is_not_made_up(self, visitor: Visitor) -> None:
        body = await visitor.travel()
        for state in ("x", body["state"][:-1], body["state"] + "A", "syo_" + "A" * 64):
            await self.refused(visitor, body | {"state": state})

    async def test_a_code_of_another_attempt_is_refused(self, visitor: Visitor) -> None:
        """Whoever slips a code of theirs in lacks our verifier: the provider refuses it."""
        mine, theirs = await visitor.travel(), await visitor.travel()
        answer = await visitor.finish(mine | {"code": theirs["code"]})
        assert (answer.status_code, answer.json()["code"]) == (401, "oauth_refused")

    async def test_a_code_is_looked_at_once(self, visitor: Visitor) -> None:
        first = await visitor.travel()
        await visitor.finish(first)
        second = await visitor.travel()
        answer = await visitor.finish(second | {"code": first["code"]})
        assert answer.json()["code"] == "oauth_refused"
