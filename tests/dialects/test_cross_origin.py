"""Pages of other origins, and what every answer forbids a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.members import Member

PAGE = "https://app.acme.test"


@pytest.fixture
async def origins(pool: asyncpg.Pool, member: Member) -> None:
    """The member's tenant allows PAGE."""
    await pool.execute("UPDATE tenants SET allowed_origins = $1 WHERE id = $2", [PAGE], member.tenant_id)


@pytest.mark.usefixtures("origins")
class TestCrossOrigin:
    async def test_a_preflight_of_an_allowed_page(self, anonymous: httpx.AsyncClient) -> None:
        ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        answer = await anonymous.options("/v1/auth/refresh", headers=ask)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"  # the cookie of a refresh token

    @pytest.mark.parametrize(
        "origin", ["https://evil.test", "null", PAGE + "x", PAGE.upper(), "https://" + "a" * 400, "\u00e9"]
    )
    async def test_any_other_page(self, anonymous: httpx.AsyncClient, origin: str) -> None:
        for method in ("OPTIONS", "POST"):
            answer = await anonymous.request(method, "/v1/auth/refresh", headers={b"Origin": origin.encode()})
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["Vary"] == "Origin"

    async def test_answers_are_for_pages_of_the_callers_own_tenant(
        self,
        member: Member,
        stranger: Member,
    ) -> None:
        mine = await member.api.get("/v1/auth/sessions", headers={"Origin": PAGE})
        assert (mine.status_code, mine.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
        theirs = await stranger.api.get("/v1/auth/sessions", headers={"Origin": PAGE})
        assert theirs.status_code == 200
        assert "Access-Control-Allow-Origin" not in theirs.headers

    async def test_a_page_can_read_why_it_was_refused(self, anonymous: httpx.AsyncClient) -> None:
        answer = await anonymous.get("/v1/auth/sessions", headers={"Origin": PAGE})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, PAGE)

    async def test_a_change_holds_after_a_moment(
        self,
        member: Member,
        pool: asyncpg.Pool,
    ) -> None:
        async def ask() -> str | None:
            answer = await member.api.get("/v1/auth/sessions", headers={"Origin": PAGE})
            allowed: str | None = answer.headers.get("Access-Control-Allow-Origin")
            return allowed

        assert await ask() == PAGE
        await pool.execute("UPDATE tenants SET allowed_origins = '{}'")

        async def is_refused() -> bool:
            return await ask() is None

        await eventually(is_refused)


class TestSecurityHeaders:
    @pytest.mark.parametrize("path", ["/v1/auth/sessions", "/api/v1/public/docs", "/nothing"])
    async def test_every_answer_has_them(self, anonymous: httpx.AsyncClient, path: str) -> None:
        headers = (await anonymous.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Set-Cookie" not in headers
