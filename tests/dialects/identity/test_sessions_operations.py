from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member


class TestRefresh:
    async def refresh(self, client: httpx.AsyncClient, token: str) -> httpx.Response:
        return await client.post("/v1/auth/refresh", json={"refresh_token": token})

    async def test_gives_new_tokens_that_work(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        answer = await self.refresh(anonymous, member.tokens.refresh_token)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 1800)
        bearer = {"Authorization": f"Bearer {body['access_token']}"}
        assert (await anonymous.get("/v1/auth/sessions", headers=bearer)).status_code == 200
        assert (await self.refresh(anonymous, body["refresh_token"])).status_code == 200

    @pytest.mark.parametrize("token", ["x", "syr_", "syr_%%%", "syr_" + "A" * 64, "syr_\u00e9"])
    async def test_what_is_no_token_is_refused(self, anonymous: httpx.AsyncClient, token: str) -> None:
        answer = await self.refresh(anonymous, token)
        assert answer.status_code == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_refresh_token"

    async def test_reuse_ends_the_session(
        self, anonymous: httpx.AsyncClient, member: Member, clock: SetClock
    ) -> None:
        second = (await self.refresh(anonymous, member.tokens.refresh_token)).json()
        clock.advance(seconds=11)
        assert (await self.refresh(anonymous, member.tokens.refresh_token)).status_code == 401
        assert (await self.refresh(anonymous, second["refresh_token"])).status_code == 401
        assert (await member.api.get("/v1/auth/sessions")).status_code == 401

    async def test_fifty_at_once_yield_one_lineage(
        self, anonymous: httpx.AsyncClient, member: Member, pool: asyncpg.Pool
    ) -> None:
        answers = await asyncio.gather(
            *(self.refresh(anonymous, member.tokens.refresh_token) for _ in range(50))
        )
        winners = [answer.json() for answer in answers if answer.status_code == 200]
        assert len(winners) == 1
        assert {answer.status_code for answer in answers} == {200, 401}
        alive = await pool.fetchval("SELECT count(*) FROM refresh_tokens WHERE consumed_at IS NULL")
        assert alive == 1
        assert (await self.refresh(anonymous, winners[0]["refresh_token"])).status_code == 200

    async def test_an_expired_session_is_refused(
        self, anonymous: httpx.AsyncClient, member: Member, clock: SetClock
    ) -> None:
        clock.advance(days=31)
        assert (await self.refresh(anonymous, member.tokens.refresh_token)).status_code == 401


class TestSessions:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        answer = await anonymous.get("/v1/auth/sessions")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_lists_the_callers_own(self, member: Member, stranger: Member) -> None:
        (mine,) = (await member.api.get("/v1/auth/sessions")).json()["sessions"]
        assert mine["id"] == str(member.session_id)
        assert mine["is_current"] is True
        (theirs,) = (await stranger.api.get("/v1/auth/sessions")).json()["sessions"]
        assert theirs["id"] == str(stranger.session_id)

    async def test_another_ones_session_is_not_there(self, member: Member, stranger: Member) -> None:
        for session_id in (stranger.session_id, uuid.uuid4(), "me"):
            answer = await member.api.delete(f"/v1/auth/sessions/{session_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
        assert (await stranger.api.get("/v1/auth/sessions")).status_code == 200

    async def test_a_revoked_session_is_refused_at_once(
        self, anonymous: httpx.AsyncClient, member: Member
    ) -> None:
        answer = await member.api.delete(f"/v1/auth/sessions/{member.session_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await member.api.get("/v1/auth/sessions")).status_code == 401
        body = {"refresh_token": member.tokens.refresh_token}
        assert (await anonymous.post("/v1/auth/refresh", json=body)).status_code == 401

    async def test_logout_ends_it_too(self, member: Member) -> None:
        assert (await member.api.post("/v1/auth/logout")).status_code == 204
        assert (await member.api.post("/v1/auth/logout")).status_code == 401

    async def test_an_expired_access_token_is_refused(self, member: Member, clock: SetClock) -> None:
        clock.advance(minutes=31)
        answer = await member.api.get("/v1/auth/sessions")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
