"""The operations on API keys, one class each; every class of them begins with who may not."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

import pytest

from control_plane.core.tokens import issue_token
from control_plane.domains.api_keys.secret import is_well_formed, make_secret
from tests.dialects.links.conftest import client_of

if TYPE_CHECKING:
    from typing import Any

    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import Caller, SetClock

PREFIX = "klinky_live_"


class TestEveryKeyOperation:
    ROUTES = (
        ("POST", "/keys?name=x"),
        ("GET", "/keys"),
        ("DELETE", "/keys/{id}"),
        ("GET", "/keys/rate-limit"),
    )

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_anonymous_is_refused(self, anonymous: httpx.AsyncClient, method: str, path: str) -> None:
        response = await anonymous.request(method, path.format(id=uuid.uuid4()))
        assert response.status_code == 401
        assert response.json() == {
            "detail": "Missing bearer token. Include Authorization: Bearer <token> header."
        }
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_an_api_key_is_no_token(self, caller: Caller, method: str, path: str) -> None:
        headers = {"Authorization": f"Bearer {caller.secret}", "X-API-Key": caller.secret}
        response = await caller.api.request(method, path.format(id=uuid.uuid4()), headers=headers)
        assert (response.status_code, response.json()) == (401, {"detail": "Invalid or expired token."})

    async def test_an_expired_token_is_refused(self, caller: Caller, clock: SetClock) -> None:
        clock.advance(days=1)
        assert (await caller.manage.get("/keys")).status_code == 401

    async def test_a_token_of_nobody_is_refused(self, app: Any, settings: Settings, clock: SetClock) -> None:
        token = issue_token(
            uuid.uuid4(), secret=settings.jwt_secret, issuer=settings.jwt_issuer, now=clock(), ttl_s=60
        )
        response = await client_of(app, {"Authorization": f"Bearer {token}"}).get("/keys")
        assert (response.status_code, response.json()) == (401, {"detail": "Invalid or expired token."})


class TestCreate:
    async def test_shows_the_key_once_and_stores_its_hash(self, caller: Caller, pool: asyncpg.Pool) -> None:
        response = await caller.manage.post("/keys", params={"name": "Production API Key"})
        assert response.status_code == 201
        new = response.json()
        assert is_well_formed(new["key"], PREFIX)
        assert len(new["key"]) == len(PREFIX) + 32
        assert new["key_prefix"] == new["key"][:16]
        assert (new["name"], new["rate_limit"]) == ("Production API Key", 1000)
        (row,) = await pool.fetch("SELECT * FROM api_keys WHERE id = $1", uuid.UUID(new["id"]))
        assert row["key_hash"] == hashlib.sha256(new["key"].encode()).digest()
        assert new["key"] not in str(dict(row))
        assert new["key"] not in (await caller.manage.get("/keys")).text

    async def test_plan_without_api_is_refused(self, free_caller: Caller, pool: asyncpg.Pool) -> None:
        before = await pool.fetchval("SELECT count(*) FROM api_keys")
        response = await free_caller.manage.post("/keys?name=x")
        assert response.status_code == 403
        assert response.json() == {
            "detail": "Your plan (free) does not include API access. Upgrade to Growth or Scale."
        }
        assert await pool.fetchval("SELECT count(*) FROM api_keys") == before

    @pytest.mark.parametrize(
        ("query", "detail"),
        [
            ("", "name is required"),
            ("?name=", 'name must be text of 1 to 100 characters, got ""'),
            ("?name=%00", 'name must not contain a NUL character, got "\\u0000"'),
        ],
    )
    async def test_a_name_is_needed(self, caller: Caller, query: str, detail: str) -> None:
        response = await caller.manage.post(f"/keys{query}")
        assert (response.status_code, response.json()) == (422, {"detail": detail})


class TestList:
    async def test_lists_own_active_keys_newest_first(
        self, caller: Caller, stranger: Caller, clock: SetClock
    ) -> None:
        clock.advance(seconds=1)
        await caller.manage.post("/keys?name=second")
        body = (await caller.manage.get("/keys")).json()
        assert body["rate_limit_per_hour"] == 1000
        assert [(key["name"], key["is_active"]) for key in body["keys"]] == [
            ("second", True),
            ("tests", True),
        ]
        assert len((await stranger.manage.get("/keys")).json()["keys"]) == 1

    async def test_last_use_is_true_to_a_second(self, caller: Caller, clock: SetClock) -> None:
        async def last_used_at() -> str | None:
            key = (await caller.manage.get("/keys")).json()["keys"][0]
            last_used_at: str | None = key["last_used_at"]
            return last_used_at

        seen = [await last_used_at()]
        for step_s in (0, 1, 1, 60):
            clock.advance(seconds=step_s)
            await caller.api.get("/links")
            seen.append(await last_used_at())
        clock.advance(seconds=-30)
        await caller.api.get("/links")
        seen.append(await last_used_at())
        start = "2026-05-04T10:20"
        assert seen == [
            None,
            f"{start}:30Z",
            f"{start}:30Z",
            f"{start}:32Z",
            "2026-05-04T10:21:32Z",
            "2026-05-04T10:21:32Z",
        ]

    async def test_a_user_without_api_access_still_sees_them(self, free_caller: Caller) -> None:
        body = (await free_caller.manage.get("/keys")).json()
        assert (len(body["keys"]), body["rate_limit_per_hour"]) == (1, 0)


class TestRevoke:
    async def test_other_tenants_key_is_not_found(self, caller: Caller, stranger: Caller) -> None:
        key_id = (await caller.manage.get("/keys")).json()["keys"][0]["id"]
        response = await stranger.manage.delete(f"/keys/{key_id}")
        assert (response.status_code, response.json()) == (404, {"detail": "API key not found"})
        assert (await caller.api.get("/links")).status_code == 200

    async def test_a_revoked_key_is_refused_at_once(self, caller: Caller) -> None:
        assert (await caller.api.get("/links")).status_code == 200
        key_id = (await caller.manage.get("/keys")).json()["keys"][0]["id"]
        response = await caller.manage.delete(f"/keys/{key_id}")
        assert (response.status_code, response.content) == (204, b"")
        refused = await caller.api.get("/links")
        assert (refused.status_code, refused.json()) == (401, {"detail": "Invalid or revoked API key."})
        assert (await caller.manage.get("/keys")).json()["keys"] == []
        assert (await caller.manage.delete(f"/keys/{key_id}")).status_code == 404

    async def test_malformed_id_is_not_found(self, caller: Caller) -> None:
        assert (await caller.manage.delete("/keys/nonsense")).status_code == 404


class TestLimitStatus:
    async def test_tells_without_counting(self, caller: Caller) -> None:
        await caller.api.get("/links")
        for _ in range(2):
            response = await caller.manage.get("/keys/rate-limit")
            assert response.status_code == 200
            assert response.json() == {"limit": 1000, "remaining": 999, "reset_at": "2026-05-04T11:00:00Z"}

    async def test_all_keys_of_a_user_share_the_limit(self, app: Any, caller: Caller) -> None:
        second = (await caller.manage.post("/keys?name=second")).json()["key"]
        await caller.api.get("/links")
        response = await client_of(app, {"X-API-Key": second}).get("/links")
        assert response.headers["X-RateLimit-Remaining"] == "998"


class TestJunkKeys:
    async def test_junk_is_refused_without_a_look_up(self, app: Any, caller: Caller) -> None:
        pool = app.state.services.pool
        junk = [
            "x",
            PREFIX,
            caller.secret[:-1] + ("0" if caller.secret[-1] != "0" else "1"),
            caller.secret[:-1],
            "sk_live_" + caller.secret[len(PREFIX) :],
            PREFIX + "\u00e9" * 32,
        ]
        held = [await pool.acquire() for _ in range(pool.get_max_size())]
        try:
            statuses = [
                (
                    await client_of(app).get("/links", headers={b"X-API-Key": key.encode("latin-1")})
                ).status_code
                for key in junk
            ]
        finally:
            for connection in held:
                await pool.release(connection)
        assert statuses == [401] * len(junk)

    async def test_a_well_formed_stranger_is_refused(self, app: Any) -> None:
        response = await client_of(app, {"X-API-Key": make_secret(PREFIX)}).get("/links")
        assert (response.status_code, response.json()) == (401, {"detail": "Invalid or revoked API key."})
