"""The operations on API keys, one class each; every class of them begins with who may not."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from control_plane.core.tokens import issue_token
from control_plane.domains.api_keys.secret import make_secret
from edge.contract.key_format import is_well_formed
from tests.dialects.links.conftest import client_of, create, link_body
from tests.support import eventually

if TYPE_CHECKING:
    from typing import Any

    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import Caller, SetClock

PREFIX = "klinky_live_"
SCOPES = ("links:read", "links:write", "clicks:read")


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
        assert row["scopes"] == ["links:read", "links:write", "clicks:read"]
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

    async def test_last_use_is_shown_a_moment_later(self, app: Any, caller: Caller, clock: SetClock) -> None:
        async def last_used_at() -> str | None:
            key = (await caller.manage.get("/keys")).json()["keys"][0]
            last_used_at: str | None = key["last_used_at"]
            return last_used_at

        assert await last_used_at() is None
        await caller.api.get("/links")
        assert await eventually(last_used_at) == "2026-05-04T10:20:30Z"
        seen = []
        for step_s in (1, 60, -30):
            clock.advance(seconds=step_s)
            await caller.api.get("/links")
            await app.state.services.usage.flush()
            seen.append(await last_used_at())
        assert seen == ["2026-05-04T10:20:31Z", "2026-05-04T10:21:31Z", "2026-05-04T10:21:31Z"]

    async def test_an_expired_key_is_not_active(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE api_keys SET expires_at = '2026-05-04T10:20:30Z'")
        (key,) = (await caller.manage.get("/keys")).json()["keys"]
        assert key["is_active"] is False
        assert (await caller.api.get("/links")).status_code == 401

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

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE tenants SET status = 'Suspended'",
            "UPDATE users SET is_active = false",
            "UPDATE users SET deleted_at = '2026-05-04T10:20:30Z'",
            "UPDATE users SET banned_at = '2026-05-04T10:20:30Z'",
        ],
    )
    async def test_a_key_falls_with_its_holder(self, caller: Caller, pool: asyncpg.Pool, change: str) -> None:
        await pool.execute(change)
        assert (await caller.api.get("/links")).status_code == 401

    async def test_is_in_the_audit(self, caller: Caller, pool: asyncpg.Pool) -> None:
        key = (await caller.manage.post("/keys?name=second")).json()
        await caller.manage.delete(f"/keys/{key['id']}")
        rows = await pool.fetch(
            "SELECT action, actor_id FROM audit_log WHERE entity_id = $1 ORDER BY id", key["id"]
        )
        user_id = caller.account.user_id
        assert [tuple(row) for row in rows] == [("api_key.create", user_id), ("api_key.revoke", user_id)]


class TestWhatAKeyMayDo:
    """Restrictions that keys of this contract are made without, and that hold all the same."""

    OPERATIONS = (
        ("GET", "/links", "links:read"),
        ("GET", "/links/{id}", "links:read"),
        ("GET", "/links/{id}/clicks", "clicks:read"),
        ("POST", "/links", "links:write"),
        ("PATCH", "/links/{id}", "links:write"),
        ("DELETE", "/links/{id}", "links:write"),
    )

    @pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)
    async def test_needs_the_scope(
        self, caller: Caller, pool: asyncpg.Pool, method: str, path: str, scope: str
    ) -> None:
        path = path.format(id=(await create(caller))["id"])
        body = {"POST": link_body(), "PATCH": {"name": "New"}}.get(method)
        others = [other for other in (*SCOPES, "sales:write", "blog:approve") if other != scope]
        await pool.execute("UPDATE api_keys SET scopes = $1", others)
        refused = await caller.api.request(method, path, json=body)
        assert refused.status_code == 403
        assert refused.json() == {"detail": f"This needs an API key with the scope {scope}."}
        await pool.execute("UPDATE api_keys SET scopes = $1", [scope])
        assert (await caller.api.request(method, path, json=body)).is_success

    async def test_head_needs_it_too(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE api_keys SET scopes = '{}'")
        assert (await caller.api.head("/links")).status_code == 403

    async def test_only_from_where_it_is_allowed(self, app: Any, caller: Caller, pool: asyncpg.Pool) -> None:
        await pool.execute("UPDATE api_keys SET allowed_ips = '{203.0.113.0/24}'")
        refused = await caller.api.get("/links")
        assert refused.status_code == 403
        assert refused.json() == {"detail": "This API key may not be used from this address."}
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        assert (await caller.api.get("/links", headers=forwarded)).status_code == 403
        services = app.state.services
        services.settings = msgspec.structs.replace(services.settings, trusted_proxies="127.0.0.1")
        assert (await caller.api.get("/links", headers=forwarded)).status_code == 200
        spoofed = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
        assert (await caller.api.get("/links", headers=spoofed)).status_code == 403
        await pool.execute("UPDATE api_keys SET allowed_ips = '{127.0.0.1,2001:db8::/32}'")
        assert (await caller.api.get("/links")).status_code == 200

    async def test_fifty_at_once_against_ten_a_minute(
        self, caller: Caller, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        await pool.execute("UPDATE api_keys SET rate_limit_rpm = 10")
        answers = await asyncio.gather(*(caller.api.get("/links") for _ in range(50)))
        assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 40}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert (refused.headers["Retry-After"], refused.headers["X-RateLimit-Limit"]) == ("30", "1000")
        clock.advance(seconds=30)
        again = await caller.api.get("/links")
        # What a key was refused for its own limit is not taken from the hour of its user.
        assert (again.status_code, again.headers["X-RateLimit-Remaining"]) == (200, "989")


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
