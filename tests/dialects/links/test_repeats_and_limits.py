"""Requests that come again, and requests that come too often."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.links.conftest import count_rows, create, link_body, make_caller

if TYPE_CHECKING:
    import asyncpg

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import Caller, SetClock


class TestIdempotency:
    async def test_same_key_and_request_give_the_same_link(self, caller: Caller, pool: asyncpg.Pool) -> None:
        headers = {"Idempotency-Key": "order-1"}
        first = await caller.api.post("/links", json=link_body(), headers=headers)
        respelt = link_body(auto_winner=False, geo_rules=None)
        second = await caller.api.post("/links", json=respelt, headers=headers)
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == second.json()
        assert await count_rows(pool, "links") == 1

    async def test_the_link_is_given_as_it_is_now(self, caller: Caller) -> None:
        headers = {"Idempotency-Key": "order-1"}
        first = (await caller.api.post("/links", json=link_body(), headers=headers)).json()
        await caller.api.delete(f"/links/{first['id']}")
        again = await caller.api.post("/links", json=link_body(), headers=headers)
        assert again.status_code == 200
        assert (again.json()["id"], again.json()["is_active"]) == (first["id"], False)

    async def test_another_request_is_refused(self, caller: Caller) -> None:
        headers = {"Idempotency-Key": "order-1"}
        await caller.api.post("/links", json=link_body(), headers=headers)
        response = await caller.api.post("/links", json=link_body(name="Other"), headers=headers)
        assert response.status_code == 422
        assert response.json() == {
            "detail": 'Idempotency-Key must not be used again for another request, got "order-1"'
        }

    async def test_keys_of_others_are_others(self, caller: Caller, stranger: Caller) -> None:
        headers = {"Idempotency-Key": "order-1"}
        first = await caller.api.post("/links", json=link_body(), headers=headers)
        second = await stranger.api.post("/links", json=link_body(), headers=headers)
        assert (first.status_code, second.status_code) == (201, 201)

    async def test_a_refused_request_does_not_use_up_its_key(self, caller: Caller) -> None:
        headers = {"Idempotency-Key": "order-1"}
        await create(caller, slug="taken")
        refused = [link_body(name=""), link_body(slug="taken")]
        statuses = [
            (await caller.api.post("/links", json=body, headers=headers)).status_code for body in refused
        ]
        assert statuses == [422, 409]
        assert (await caller.api.post("/links", json=link_body(), headers=headers)).status_code == 201

    @pytest.mark.parametrize("key", ["", "with space", "x" * 256, "caf\u00e9"])
    async def test_malformed_keys_are_refused(self, caller: Caller, key: str) -> None:
        headers = {b"Idempotency-Key": key.encode("latin-1")}
        response = await caller.api.post("/links", json=link_body(name=""), headers=headers)
        assert response.status_code == 422
        assert "Idempotency-Key must be 1 to 255 visible ASCII characters" in response.json()["detail"]
        assert "name must be" in response.json()["detail"]

    async def test_fifty_at_once_make_one_link(self, caller: Caller, pool: asyncpg.Pool) -> None:
        headers = {"Idempotency-Key": "at-once"}
        responses = await asyncio.gather(
            *(caller.api.post("/links", json=link_body(), headers=headers) for _ in range(50))
        )
        assert Counter(response.status_code for response in responses) == {201: 1, 200: 49}
        assert len({response.json()["id"] for response in responses}) == 1
        assert await count_rows(pool, "links") == 1
        assert await count_rows(pool, "link_outbox") == 1


class TestRateLimit:
    async def test_is_exact_under_concurrency(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        await pool.execute("UPDATE plans SET api_requests_per_hour = 50 WHERE code = 'growth'")
        caller = await make_caller(app, pool, settings, clock())
        responses = await asyncio.gather(*(caller.api.get("/links") for _ in range(100)))
        assert Counter(response.status_code for response in responses) == {200: 50, 429: 50}
        served = [one for one in responses if one.status_code == 200]
        assert sorted(int(one.headers["X-RateLimit-Remaining"]) for one in served) == list(range(50))
        refused = next(one for one in responses if one.status_code == 429)
        assert refused.json() == {"detail": "Rate limit exceeded. Please try again later."}
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert refused.headers["Retry-After"] == str(39 * 60 + 30)

    async def test_starts_anew_with_the_clock_hour(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        await pool.execute("UPDATE plans SET api_requests_per_hour = 1 WHERE code = 'growth'")
        caller = await make_caller(app, pool, settings, clock())
        statuses = [(await caller.api.get("/links")).status_code for _ in range(2)]
        clock.advance(minutes=39, seconds=30)
        statuses.append((await caller.api.get("/links")).status_code)
        assert statuses == [200, 429, 200]

    async def test_comes_before_what_is_wrong_with_the_request(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        await pool.execute("UPDATE plans SET api_requests_per_hour = 0 WHERE code = 'growth'")
        caller = await make_caller(app, pool, settings, clock())
        assert (await caller.api.post("/links", content=b"{")).status_code == 429
        assert (await caller.api.get("/links/nonsense")).status_code == 429
