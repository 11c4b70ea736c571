"""Sign-in as the growth contract has it: no tenant in the body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.outbox import read_outbox

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.members import Member

PASSWORD = "correct horse battery"
ANN = {"email": "ann@acme.com", "password": PASSWORD}


@pytest.fixture
async def slug(pool: asyncpg.Pool, member: Member) -> str:
    """The slug of the member's tenant."""
    found: str = await pool.fetchval("SELECT slug FROM tenants WHERE id = $1", member.tenant_id)
    return found


@pytest.fixture
async def ann(app: Any, pool: asyncpg.Pool, anonymous: httpx.AsyncClient, slug: str) -> dict[str, str]:
    """Ann, who is registered and verified; what she signs in with besides the body."""
    header = {"X-Tenant": slug}
    answer = await anonymous.post("/api/v1/auth/register", json=ANN | {"full_name": "Ann"}, headers=header)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["success"], body["email"], body["verification_required"]) == (True, "ann@acme.com", True)
    code = (await read_outbox(app, pool))[-1].data["code"]
    sent_back = {"token": body["verification_token"], "code": code}
    assert (await anonymous.post("/v1/auth/verify/email", json=sent_back)).status_code == 200
    return header


class TestLogin:
    async def test_answers_as_the_contract_has_it(
        self, anonymous: httpx.AsyncClient, ann: dict[str, str], pool: asyncpg.Pool
    ) -> None:
        answer = await anonymous.post("/api/v1/auth/login", json=ANN, headers=ann)
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
        assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
        numbers = await pool.fetchrow(
            "SELECT u.number AS id, t.number AS tenant_id FROM users u JOIN tenants t ON t.id = u.tenant_id"
            " WHERE u.email = 'ann@acme.com'"
        )
        assert numbers is not None
        assert body["user"] == {
            "id": numbers["id"],
            "email": "ann@acme.com",
            "full_name": "Ann",
            "role": "viewer",
            "tenant_id": numbers["tenant_id"],
        }
        bearer = {"Authorization": f"Bearer {body['access_token']}"}
        me = await anonymous.get("/api/v1/auth/me", headers=bearer)
        assert (me.status_code, me.json()["id"]) == (200, numbers["id"])
        # One user table serves both contracts.
        assert (await anonymous.get("/v1/users/me", headers=bearer)).json()["email"] == "ann@acme.com"

    async def test_refusals_are_the_same(self, anonymous: httpx.AsyncClient, ann: dict[str, str]) -> None:
        tries: list[tuple[dict[str, str], dict[str, str]]] = [
            (ANN | {"password": "a wrong password"}, ann),
            (ANN | {"email": "nobody@acme.com"}, ann),
            (ANN, {"X-Tenant": "nobody"}),
            (ANN, {}),
        ]
        for body, headers in tries:
            answer = await anonymous.post("/api/v1/auth/login", json=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json() == {
                "success": False,
                "error": "Invalid credentials.",
                "code": "INVALID_CREDENTIALS",
                "details": {},
            }

    async def test_without_a_header_it_is_the_default_tenant(
        self, anonymous: httpx.AsyncClient, ann: dict[str, str], pool: asyncpg.Pool
    ) -> None:
        assert ann
        await pool.execute("UPDATE tenants SET slug = 'demo' WHERE slug = $1", ann["X-Tenant"])
        assert (await anonymous.post("/api/v1/auth/login", json=ANN)).status_code == 200

    async def test_or_that_of_the_domain(
        self, anonymous: httpx.AsyncClient, ann: dict[str, str], pool: asyncpg.Pool, member: Member
    ) -> None:
        assert ann
        await pool.execute(
            "INSERT INTO custom_domains (tenant_id, id, domain, method, challenge, status, created_at,"
            " expires_at, verified_at) VALUES ($1, gen_random_uuid(), 'app.acme.com', 'DNS_TXT', 'x',"
            " 'verified', now(), now(), now())",
            member.tenant_id,
        )
        at_domain = {"Host": "app.acme.com"}
        assert (await anonymous.post("/api/v1/auth/login", json=ANN, headers=at_domain)).status_code == 200

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"password": PASSWORD}, "email"),
            ({"email": "ann", "password": PASSWORD}, "email"),
            ({"email": "ann@acme.com"}, "password"),
        ],
    )
    async def test_faults_are_named(
        self, anonymous: httpx.AsyncClient, body: dict[str, str], field: str
    ) -> None:
        answer = await anonymous.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["details"]["errors"]] == [field]


class TestRefreshAndLogout:
    async def test_a_refreshed_session_goes_on_and_ends(
        self, anonymous: httpx.AsyncClient, ann: dict[str, str]
    ) -> None:
        first = (await anonymous.post("/api/v1/auth/login", json=ANN, headers=ann)).json()
        second = await anonymous.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        assert (second.status_code, second.json()["user"]) == (200, first["user"])
        bearer = {"Authorization": f"Bearer {second.json()['access_token']}"}
        assert (await anonymous.post("/api/v1/auth/logout", headers=bearer)).status_code == 204
        assert (await anonymous.get("/api/v1/auth/me", headers=bearer)).status_code == 401

    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        for method, path in (("GET", "me"), ("POST", "logout")):
            answer = await anonymous.request(method, f"/api/v1/auth/{path}")
            assert (answer.status_code, answer.json()["code"]) == (401, "MISSING_TOKEN")


class TestRegister:
    async def test_an_unknown_tenant_is_named(self, anonymous: httpx.AsyncClient) -> None:
        answer = await anonymous.post("/api/v1/auth/register", json=ANN, headers={"X-Tenant": "nobody"})
        assert answer.status_code == 422
        assert answer.json()["details"]["errors"][0]["field"] == "X-Tenant"

    async def test_by_the_browsers_language(
        self, app: Any, pool: asyncpg.Pool, anonymous: httpx.AsyncClient, slug: str
    ) -> None:
        headers = {"X-Tenant": slug, "Accept-Language": "fr-FR, pt;q=0.9, en;q=0.5"}
        assert (await anonymous.post("/api/v1/auth/register", json=ANN, headers=headers)).status_code == 201
        assert (await read_outbox(app, pool))[-1].language == "pt-BR"
