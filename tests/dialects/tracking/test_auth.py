"""Who is let in, how often, and what answers say of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.ip_addresses import read_network
from tests.dialects.members import client_of
from tests.dialects.tracking.conftest import make_holder

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.conftest import TestServer
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member
    from tests.dialects.tracking.conftest import KeyHolder

LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class TestCredentials:
    @pytest.mark.parametrize(
        "authorization", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer fr_live_x", "Bearer é"]
    )
    async def test_without_a_key(self, anonymous: httpx.AsyncClient, authorization: str | None) -> None:
        headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
        response = await anonymous.get("/v1/visits", headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert not set(LIMITS) & set(response.headers)

    async def test_a_session_is_no_key(self, member: Member) -> None:
        assert (await member.api.get("/v1/visits")).status_code == 401

    async def test_a_key_for_tests_opens_nothing(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        holder = await make_holder(app, pool, clock(), prefix="fr_test_", environment="Test")
        assert (await holder.api.get("/v1/visits")).status_code == 401

    async def test_revoked_and_expired_keys(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, holder: KeyHolder
    ) -> None:
        brief = await make_holder(app, pool, clock(), expires_at=clock() + timedelta(minutes=1))
        assert (await brief.api.get("/v1/visits")).status_code == 200
        clock.advance(minutes=1)
        assert (await brief.api.get("/v1/visits")).status_code == 401
        await pool.execute("UPDATE api_keys SET revoked_at = now()")
        assert (await holder.api.get("/v1/visits")).status_code == 401

    async def test_from_elsewhere(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        block = read_network("203.0.113.0/24")
        assert block is not None
        holder = await make_holder(app, pool, clock(), allowed_ips=(block,))
        response = await holder.api.get("/v1/visits")
        assert response.status_code == 403
        assert response.json()["error"]["details"]["reason"] == "ip_not_allowed"

    async def test_a_key_may_do_what_its_scopes_say(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock
    ) -> None:
        holder = await make_holder(app, pool, clock(), scopes=("sales:read",))
        response = await holder.api.get("/v1/visits", headers={"Accept-Language": "es"})
        assert response.status_code == 403
        error = response.json()["error"]
        assert (error["code"], error["message"]) == ("forbidden", "Prohibido")
        assert error["details"] == {
            "reason": "scope_required",
            "text": "This needs an API key with the scope visits:read.",
        }
        assert response.headers["X-RateLimit-Remaining"] == "599"


class TestLimits:
    async def test_a_key_without_a_limit_has_the_default_one(
        self, holder: KeyHolder, clock: SetClock
    ) -> None:
        for left in (599, 598):
            response = await holder.api.get("/v1/visits")
            assert [response.headers[name] for name in LIMITS] == [
                "600",
                str(left),
                str(int(clock().replace(second=0).timestamp()) + 60),
            ]

    async def test_a_keys_own_limit(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        holder = await make_holder(app, pool, clock(), rate_limit_rpm=2)
        statuses = [await holder.api.get(f"/v1/visits{tail}") for tail in ("", "/x", "", "?page=0")]
        assert [one.status_code for one in statuses] == [200, 404, 429, 429]
        for answer in statuses:
            assert set(LIMITS) <= {name.title().replace("Ratelimit", "RateLimit") for name in answer.headers}
        refused = statuses[2]
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["Retry-After"] == "30"
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        clock.advance(seconds=30)
        assert (await holder.api.get("/v1/visits")).status_code == 200

    async def test_a_limit_is_of_one_key(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        first = await make_holder(app, pool, clock(), rate_limit_rpm=1)
        second = await make_holder(app, pool, clock(), rate_limit_rpm=1, tenant_id=first.tenant_id)
        answers = [await one.api.get("/v1/visits") for one in (first, second, first, second)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]

    async def test_what_a_key_may_not_do_counts(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        holder = await make_holder(app, pool, clock(), rate_limit_rpm=1, scopes=())
        answers = [(await holder.api.get("/v1/visits")).status_code for _ in range(2)]
        assert answers == [403, 429]

    async def test_without_redis_nothing_is_counted(
        self, holder: KeyHolder, valkey_server: TestServer
    ) -> None:
        valkey_server.stop()
        response = await holder.api.get("/v1/visits")
        assert (response.status_code, response.headers["X-RateLimit-Remaining"]) == (200, "600")
        valkey_server.start()


async def test_without_postgres_the_answer_is_503(
    app: Any, holder: KeyHolder, postgres_server: TestServer
) -> None:
    postgres_server.stop()
    api = client_of(app, {"Authorization": f"Bearer {holder.secret}", "Accept-Language": "pt-BR"})
    response = await api.get("/v1/visits")
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "Temporariamente indisponível"
    assert int(response.headers["Retry-After"]) > 0
    postgres_server.start()
