"""What the API answers when something is wrong around it: routes, methods, servers that are away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.dialects.links.conftest import link_body

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.conftest import TestServer
    from tests.dialects.links.conftest import Caller


class TestRouting:
    @pytest.mark.parametrize("path", ["/nothing", "/links/1/2/3", "/"])
    async def test_unknown_paths(self, anonymous: httpx.AsyncClient, path: str) -> None:
        response = await anonymous.get(path)
        assert response.status_code == 404
        assert list(response.json()) == ["detail"]

    async def test_methods_that_are_not_there(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.put("/links")
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
        assert response.json() == {"detail": "PUT is not allowed at /api/v1/public/links"}

    async def test_options_needs_no_key(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.options("/links/x")
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
        assert (await anonymous.options("/nothing")).status_code == 404

    async def test_health_needs_no_key(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert "X-RateLimit-Limit" not in response.headers

    async def test_docs_are_a_page(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.get("/docs")
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/html")
        assert "createLink" in response.text
        assert "http://" not in response.text.replace("http://127.0.0.1", "")
        assert "https://" not in response.text
        document = await anonymous.get("/docs/openapi.json")
        assert document.json() == (await anonymous.get("/openapi.json")).json()


class TestRequestId:
    async def test_every_response_has_its_own(self, anonymous: httpx.AsyncClient) -> None:
        ids = {(await anonymous.get(path)).headers["X-Request-ID"] for path in ("/health", "/x", "/links")}
        assert len(ids) == 3

    async def test_a_callers_own_is_kept_when_fit(self, anonymous: httpx.AsyncClient) -> None:
        sent = {"trace-7": "trace-7", "two words": None, "x" * 129: None}
        for given, kept in sent.items():
            response = await anonymous.get("/health", headers={"X-Request-ID": given})
            assert (response.headers["X-Request-ID"] == given) is (kept is not None)


class TestServersAway:
    async def test_without_postgres_the_answer_is_503(
        self, caller: Caller, anonymous: httpx.AsyncClient, postgres_server: TestServer
    ) -> None:
        assert (await caller.api.get("/links")).status_code == 200
        postgres_server.stop()
        for response in (await caller.api.get("/links"), await caller.manage.get("/keys")):
            assert response.status_code == 503
            assert response.json() == {"detail": "The database is away. Please try again."}
            assert int(response.headers["Retry-After"]) > 0
        assert (await anonymous.get("/links", headers={"X-API-Key": "junk"})).status_code == 401
        assert (await anonymous.get("/health")).status_code == 200
        postgres_server.start()
        assert (await caller.api.get("/links")).status_code == 200

    async def test_without_redis_requests_are_not_counted(
        self, capfd: pytest.CaptureFixture[str], caller: Caller, valkey_server: TestServer
    ) -> None:
        valkey_server.stop()
        response = await caller.api.post("/links", json=link_body())
        assert response.status_code == 201
        assert response.headers["X-RateLimit-Remaining"] == "1000"
        status = await caller.manage.get("/keys/rate-limit")
        assert (status.status_code, status.json()["remaining"]) == (200, 1000)
        valkey_server.start()
        response = await caller.api.get("/links")
        assert response.headers["X-RateLimit-Remaining"] == "999"
        events = [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]
        assert "rate_limit_not_counted" in events


class TestBugs:
    async def test_a_bug_is_logged_and_not_shown(
        self, capfd: pytest.CaptureFixture[str], pool: asyncpg.Pool, caller: Caller
    ) -> None:
        await pool.execute("ALTER TABLE links RENAME COLUMN stickiness TO glue")
        response = await caller.api.post("/links", json=link_body(), headers={"X-Request-ID": "r-1"})
        assert response.status_code == 500
        assert response.json() == {"detail": "Unexpected error. Request id: r-1"}
        log = capfd.readouterr().err
        entry = next(entry for entry in map(json.loads, log.splitlines()) if entry["level"] == "error")
        assert (entry["event"], entry["request_id"]) == ("request_failed", "r-1")
        assert "UndefinedColumnError" in log
        assert caller.secret not in log
