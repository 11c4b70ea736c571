"""The operations on a tenant's API keys, and on those of services."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Role
from control_plane.domains.api_keys.secret import make_secret
from edge.contract.key_format import is_well_formed
from tests.dialects.links.conftest import client_of as links_client_of
from tests.dialects.members import client_of, make_member
from tests.support import eventually

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

NOBODYS = "01890a5d-ac96-774b-bcce-b302099a8057"
CONTRACT_SCOPES = [
    *("renders:create", "renders:read", "renders:cancel", "projects:read", "projects:write"),
    *("templates:read", "exports:read", "exports:download", "users:read", "users:write", "webhooks:manage"),
]
MORE_SCOPES = [
    *("links:read", "links:write", "visits:read", "clicks:read", "conversions:read"),
    *("sales:read", "sales:write", "blog:read", "blog:write", "blog:approve"),
]


def keys_of(member: Member) -> str:
    return f"/v1/tenants/{member.tenant_id}/api-keys"


async def make_key(member: Member, **changes: Any) -> dict[str, Any]:
    body = {"name": "Gateway", "scopes": ["renders:read"]} | changes
    answer = await member.api.post(keys_of(member), json=body)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


async def make_service_token(superadmin: Member, **changes: Any) -> dict[str, Any]:
    answer = await superadmin.api.post("/v1/service-tokens", json={"name": "gateway"} | changes)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


def bearer(app: Any, token: str) -> httpx.AsyncClient:
    return client_of(app, {"Authorization": f"Bearer {token}"})


@pytest.fixture
async def gateway(app: Any, superadmin: Member) -> httpx.AsyncClient:
    """A service with a token."""
    return bearer(app, (await make_service_token(superadmin))["secret_key"])


@pytest.fixture
async def lesser(
    app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member
) -> list[Member]:
    """Users of the member's tenant who are no admins of it."""
    return [
        await make_member(app, pool, settings, clock(), tenant_id=member.tenant_id, role=role)
        for role in (Role.MANAGER, Role.ANALYST, Role.VIEWER)
    ]


async def validate(client: httpx.AsyncClient, secret: str, **changes: Any) -> dict[str, Any]:
    body = {"key_prefix": secret[:16], "key_hash": hashlib.sha256(secret.encode()).hexdigest()}
    answer = await client.post("/v1/api-keys/validate", json=body | changes)
    assert answer.status_code == 200, answer.text
    verdict: dict[str, Any] = answer.json()
    return verdict


class TestWhoMayManageKeys:
    ROUTES = (("POST", ""), ("GET", ""), ("GET", "/{id}"), ("DELETE", "/{id}"))

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_anonymous_is_refused(
        self, anonymous: httpx.AsyncClient, member: Member, method: str, path: str
    ) -> None:
        answer = await anonymous.request(method, keys_of(member) + path.format(id=uuid.uuid4()))
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_another_tenants_admin_finds_nothing(
        self, stranger: Member, member: Member, method: str, path: str
    ) -> None:
        key = await make_key(member)
        body = {"name": "x", "scopes": []} if method == "POST" else None
        answer = await stranger.api.request(method, keys_of(member) + path.format(id=key["id"]), json=body)
        assert answer.status_code == 404
        if path:
            own = await stranger.api.request(method, keys_of(stranger) + path.format(id=key["id"]))
            assert (own.status_code, own.json()["code"]) == (404, "api_key_not_found")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_only_admins_may(
        self, member: Member, lesser: list[Member], method: str, path: str
    ) -> None:
        key = await make_key(member)
        body = {"name": "x", "scopes": []} if method == "POST" else None
        for user in lesser:
            answer = await user.api.request(method, keys_of(member) + path.format(id=key["id"]), json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_a_superadmin_may_for_any_tenant(
        self, superadmin: Member, member: Member, gateway: httpx.AsyncClient
    ) -> None:
        answer = await superadmin.api.post(keys_of(member), json={"name": "x", "scopes": []})
        assert (answer.status_code, answer.json()["tenant_id"]) == (201, str(member.tenant_id))
        assert (await validate(gateway, answer.json()["secret_key"]))["valid"] is True
        assert (await superadmin.api.get(keys_of(member))).json()["data"][0]["name"] == "x"

    async def test_a_service_may_not(self, gateway: httpx.AsyncClient, member: Member) -> None:
        answer = await gateway.get(keys_of(member))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


class TestCreate:
    async def test_answers_as_the_contract_says(self, member: Member) -> None:
        key = await make_key(
            member,
            environment="Test",
            scopes=["renders:read", "users:read", "renders:read"],
            allowed_ips=["203.0.113.7", "198.51.100.0/24", "2001:db8::/32", "::ffff:192.0.2.0/120"],
            rate_limit_rpm=60,
            expires_at="2026-06-01T02:00:00+02:00",
        )
        secret = key.pop("secret_key")
        assert is_well_formed(secret, "fr_test_")
        assert uuid.UUID(key.pop("id"))
        assert key == {
            "tenant_id": str(member.tenant_id),
            "name": "Gateway",
            "environment": "Test",
            "key_prefix": secret[:16],
            "last4": secret[-4:],
            "scopes": ["renders:read", "users:read"],
            "allowed_ips": ["203.0.113.7", "198.51.100.0/24", "2001:db8::/32", "192.0.2.0/24"],
            "rate_limit_rpm": 60,
            "is_active": True,
            "expires_at": "2026-06-01T00:00:00Z",
            "last_used_at": None,
            "usage_count": 0,
            "created_at": "2026-05-04T10:20:30Z",
        }

    async def test_what_may_be_left_out(self, member: Member) -> None:
        key = await make_key(member)
        assert is_well_formed(key["secret_key"], "fr_live_")
        assert (key["environment"], key["allowed_ips"], key["expires_at"]) == ("Live", [], None)
        assert key["rate_limit_rpm"] == 600

    async def test_every_scope_is_known(self, member: Member) -> None:
        assert (await make_key(member, scopes=CONTRACT_SCOPES + MORE_SCOPES))["scopes"] == (
            CONTRACT_SCOPES + MORE_SCOPES
        )

    async def test_the_key_is_shown_once_and_stored_hashed(self, member: Member, pool: asyncpg.Pool) -> None:
        key = await make_key(member)
        row = await pool.fetchrow("SELECT * FROM api_keys WHERE id = $1", uuid.UUID(key["id"]))
        assert row is not None
        assert row["key_hash"] == hashlib.sha256(key["secret_key"].encode()).digest()
        assert key["secret_key"] not in str(dict(row))
        audit = f"/v1/tenants/{member.tenant_id}/audit"
        for path in (keys_of(member), f"{keys_of(member)}/{key['id']}", audit):
            answer = await member.api.get(path)
            assert answer.status_code == 200
            assert key["secret_key"] not in answer.text

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"scopes": ["everything"]}, "scopes[0]"),
            ({"scopes": "renders:read"}, "scopes"),
            ({"environment": "live"}, "environment"),
            ({"rate_limit_rpm": 0}, "rate_limit_rpm"),
            ({"rate_limit_rpm": 1_000_001}, "rate_limit_rpm"),
            ({"allowed_ips": ["192.0.2.1/24"]}, "allowed_ips[0]"),
            ({"allowed_ips": ["10.0.0.0/8", "localhost"]}, "allowed_ips[1]"),
            ({"allowed_ips": ["fe80::1%eth0"]}, "allowed_ips[0]"),
            ({"expires_at": "2026-05-04T10:20:30Z"}, "expires_at"),
            ({"expires_at": "tomorrow"}, "expires_at"),
        ],
    )
    async def test_what_breaks_a_rule_is_refused(
        self, member: Member, changes: dict[str, Any], field: str
    ) -> None:
        body = {"name": "x", "scopes": []} | changes
        answer = await member.api.post(keys_of(member), json=body)
        assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, [field])
        assert (await member.api.get(keys_of(member))).json() == {"data": []}

    async def test_name_and_scopes_are_needed(self, member: Member) -> None:
        answer = await member.api.post(keys_of(member), json={})
        assert {fault["field"] for fault in answer.json()["errors"]} == {"name", "scopes"}


class TestListAndGet:
    async def test_lists_what_is_not_revoked_newest_first(self, member: Member, clock: SetClock) -> None:
        first = await make_key(member, expires_at="2026-05-04T10:21:30Z")
        clock.advance(seconds=60)
        second, third = await make_key(member), await make_key(member)
        assert (await member.api.delete(f"{keys_of(member)}/{third['id']}")).status_code == 204
        listed = (await member.api.get(keys_of(member))).json()["data"]
        assert [(key["id"], key["is_active"]) for key in listed] == [
            (second["id"], True),
            (first["id"], False),
        ]
        del second["secret_key"]
        assert listed[0] == second

    async def test_a_revoked_key_can_still_be_looked_at(self, member: Member) -> None:
        path = f"{keys_of(member)}/{(await make_key(member))['id']}"
        assert (await member.api.get(path)).json()["is_active"] is True
        await member.api.delete(path)
        assert (await member.api.get(path)).json()["is_active"] is False

    async def test_keys_of_other_contracts_are_not_shown(
        self, superadmin: Member, gateway: httpx.AsyncClient
    ) -> None:
        assert gateway
        assert (await superadmin.api.get(keys_of(superadmin))).json() == {"data": []}
        (token,) = (await superadmin.api.get("/v1/service-tokens")).json()["data"]
        answer = await superadmin.api.delete(f"{keys_of(superadmin)}/{token['id']}")
        assert answer.status_code == 404


class TestRevoke:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [({}, None), ({"json": {}}, None), ({"json": {"reason": "It leaked"}}, "It leaked")],
    )
    async def test_holds_at_once_and_keeps_the_reason(
        self,
        member: Member,
        gateway: httpx.AsyncClient,
        pool: asyncpg.Pool,
        body: dict[str, Any],
        reason: str | None,
    ) -> None:
        key = await make_key(member)
        path = f"{keys_of(member)}/{key['id']}"
        assert (await validate(gateway, key["secret_key"]))["valid"] is True
        answer = await member.api.request("DELETE", path, **body)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await validate(gateway, key["secret_key"]) == {"valid": False, "reason": "revoked"}
        kept = await pool.fetchval("SELECT revoke_reason FROM api_keys WHERE id = $1", uuid.UUID(key["id"]))
        assert kept == reason
        assert (await member.api.delete(path)).status_code == 404

    @pytest.mark.parametrize("content", [b'{"reason": 7}', b'{"reason": "' + b"x" * 501 + b'"}', b"{"])
    async def test_a_faulty_body_revokes_nothing(
        self, member: Member, gateway: httpx.AsyncClient, content: bytes
    ) -> None:
        key = await make_key(member)
        answer = await member.api.request("DELETE", f"{keys_of(member)}/{key['id']}", content=content)
        assert answer.status_code == 422
        assert (await validate(gateway, key["secret_key"]))["valid"] is True

    @pytest.mark.parametrize("key_id", [NOBODYS, "nonsense"])
    async def test_what_is_not_there(self, member: Member, key_id: str) -> None:
        answer = await member.api.delete(f"{keys_of(member)}/{key_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "api_key_not_found")

    async def test_both_ends_of_its_life_are_in_the_audit(self, member: Member) -> None:
        key = await make_key(member, allowed_ips=["203.0.113.7"])
        await member.api.request("DELETE", f"{keys_of(member)}/{key['id']}", json={"reason": "It leaked"})
        path = f"/v1/tenants/{member.tenant_id}/audit?entity_type=api_key&entity_id={key['id']}"
        revoked, created = (await member.api.get(path)).json()["data"]
        assert (created["action"], revoked["action"]) == ("api_key.create", "api_key.revoke")
        assert (created["actor_id"], created["after"]["scopes"]) == (str(member.user_id), ["renders:read"])
        assert created["after"]["allowed_ips"] == ["203.0.113.7"]
        assert revoked["after"]["reason"] == "It leaked"


class TestValidate:
    async def test_a_valid_key(self, member: Member, gateway: httpx.AsyncClient) -> None:
        key = await make_key(member, scopes=["users:read", "renders:read"], rate_limit_rpm=60)
        assert await validate(gateway, key["secret_key"]) == {
            "valid": True,
            "tenant_id": str(member.tenant_id),
            "scopes": ["renders:read", "users:read"],
            "rate_limit_rpm": 60,
        }

    async def test_a_key_without_scopes_may_nothing(self, member: Member, gateway: httpx.AsyncClient) -> None:
        assert (await validate(gateway, (await make_key(member, scopes=[]))["secret_key"]))["scopes"] == []

    async def test_anonymous_and_users_may_not_ask(
        self, anonymous: httpx.AsyncClient, member: Member, superadmin: Member
    ) -> None:
        secret = (await make_key(member))["secret_key"]
        body = {"key_prefix": secret[:16], "key_hash": hashlib.sha256(secret.encode()).hexdigest()}
        assert (await anonymous.post("/v1/api-keys/validate", json=body)).status_code == 401
        answer = await member.api.post("/v1/api-keys/validate", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")
        assert (await validate(superadmin.api, secret))["valid"] is True

    async def test_unknown_keys(self, member: Member, gateway: httpx.AsyncClient) -> None:
        unknown = {"valid": False, "reason": "unknown"}
        assert await validate(gateway, make_secret("fr_live_")) == unknown
        secret = (await make_key(member))["secret_key"]
        assert await validate(gateway, secret, key_prefix="fr_test_" + secret[8:16]) == unknown
        upper = hashlib.sha256(secret.encode()).hexdigest().upper()
        assert (await validate(gateway, secret, key_hash=upper))["valid"] is True

    async def test_keys_of_other_kinds_are_unknown(
        self, superadmin: Member, gateway: httpx.AsyncClient
    ) -> None:
        token = (await make_service_token(superadmin))["secret_key"]
        assert await validate(gateway, token) == {"valid": False, "reason": "unknown"}

    async def test_expires_to_the_moment(
        self, member: Member, gateway: httpx.AsyncClient, clock: SetClock
    ) -> None:
        key = await make_key(member, expires_at="2026-05-04T10:20:32Z")
        clock.advance(seconds=1.9)
        assert (await validate(gateway, key["secret_key"]))["valid"] is True
        clock.advance(seconds=0.1)
        assert await validate(gateway, key["secret_key"]) == {"valid": False, "reason": "expired"}

    async def test_keys_of_a_suspended_tenant(
        self, member: Member, gateway: httpx.AsyncClient, pool: asyncpg.Pool
    ) -> None:
        key = await make_key(member)
        await pool.execute("UPDATE tenants SET status = 'Suspended' WHERE id = $1", member.tenant_id)
        assert await validate(gateway, key["secret_key"]) == {"valid": False, "reason": "suspended"}

    @pytest.mark.parametrize(
        ("address", "valid"),
        [
            ("203.0.113.7", True),
            ("203.0.113.8", False),
            ("198.51.100.255", True),
            ("198.51.101.0", False),
            ("::ffff:203.0.113.7", True),
            ("2001:db8:ffff::1", True),
            ("2001:db9::1", False),
            (None, False),
        ],
    )
    async def test_only_from_where_it_is_allowed(
        self, member: Member, gateway: httpx.AsyncClient, address: str | None, valid: bool
    ) -> None:
        blocks = ["203.0.113.7", "198.51.100.0/24", "2001:db8::/32"]
        key = await make_key(member, allowed_ips=blocks)
        verdict = await validate(gateway, key["secret_key"], ip_address=address)
        assert verdict.get("reason") == (None if valid else "ip_not_allowed")
        assert verdict["valid"] is valid

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"key_hash": "ab"}, "key_hash"),
            ({"key_hash": "x" * 64}, "key_hash"),
            ({"key_prefix": 7}, "key_prefix"),
            ({"ip_address": "here"}, "ip_address"),
        ],
    )
    async def test_what_breaks_a_rule_is_refused(
        self, gateway: httpx.AsyncClient, changes: dict[str, Any], field: str
    ) -> None:
        body = {"key_prefix": "fr_live_", "key_hash": "0" * 64} | changes
        answer = await gateway.post("/v1/api-keys/validate", json=body)
        assert (answer.status_code, [fault["field"] for fault in answer.json()["errors"]]) == (422, [field])

    async def test_fifty_at_once_against_ten_a_minute(
        self, member: Member, gateway: httpx.AsyncClient, clock: SetClock
    ) -> None:
        secret = (await make_key(member, rate_limit_rpm=10))["secret_key"]
        verdicts = await asyncio.gather(*(validate(gateway, secret) for _ in range(50)))
        assert sum(verdict["valid"] for verdict in verdicts) == 10
        assert {verdict.get("reason") for verdict in verdicts} == {None, "rate_limited"}
        clock.advance(seconds=29)
        assert (await validate(gateway, secret))["valid"] is False
        clock.advance(seconds=1)
        assert (await validate(gateway, secret))["valid"] is True

    async def test_uses_are_counted(
        self, app: Any, member: Member, gateway: httpx.AsyncClient, clock: SetClock
    ) -> None:
        key = await make_key(member, rate_limit_rpm=3)
        for _ in range(4):
            clock.advance(seconds=1)
            await validate(gateway, key["secret_key"])
        path = f"{keys_of(member)}/{key['id']}"

        async def uses() -> bool:
            seen = (await member.api.get(path)).json()
            return (seen["usage_count"], seen["last_used_at"]) == (3, "2026-05-04T10:20:33Z")

        await eventually(uses)
        await app.state.services.usage.flush()
        assert await uses()


class TestServiceTokens:
    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", ""), ("GET", ""), ("DELETE", f"/{NOBODYS}")],
    )
    async def test_only_superadmins_may(
        self, anonymous: httpx.AsyncClient, member: Member, gateway: httpx.AsyncClient, method: str, path: str
    ) -> None:
        body: dict[str, Any] = {"json": {"name": "x"}} if method == "POST" else {}
        assert (await anonymous.request(method, f"/v1/service-tokens{path}", **body)).status_code == 401
        assert (await gateway.request(method, f"/v1/service-tokens{path}", **body)).status_code == 401
        assert (await member.api.request(method, f"/v1/service-tokens{path}", **body)).status_code == 403

    async def test_made_listed_and_revoked(self, app: Any, superadmin: Member, member: Member) -> None:
        token = await make_service_token(superadmin)
        secret = token.pop("secret_key")
        assert is_well_formed(secret, "syst_live_")
        assert (token["scopes"], token["rate_limit_rpm"]) == ([], None)
        assert (await superadmin.api.get("/v1/service-tokens")).json() == {"data": [token]}
        service, key = bearer(app, secret), (await make_key(member))["secret_key"]
        assert (await validate(service, key))["valid"] is True
        answer = await superadmin.api.request(
            "DELETE", f"/v1/service-tokens/{token['id']}", json={"reason": "Retired"}
        )
        assert (answer.status_code, answer.content) == (204, b"")
        body = {"key_prefix": key[:16], "key_hash": "0" * 64}
        refused = await service.post("/v1/api-keys/validate", json=body)
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await superadmin.api.get("/v1/service-tokens")).json() == {"data": []}

    async def test_resolve_any_tenant(
        self, gateway: httpx.AsyncClient, superadmin: Member, member: Member
    ) -> None:
        slug = (await member.api.get(f"/v1/tenants/{member.tenant_id}")).json()["slug"]
        answer = await gateway.get(f"/v1/tenants/by-slug/{slug}")
        assert answer.status_code == 200
        assert answer.json() == (await superadmin.api.get(f"/v1/tenants/by-slug/{slug}")).json()

    async def test_end_when_they_expire(
        self, app: Any, superadmin: Member, member: Member, clock: SetClock
    ) -> None:
        token = await make_service_token(superadmin, expires_at="2026-05-04T10:20:31Z")
        secret = (await make_key(member))["secret_key"]
        service = bearer(app, token["secret_key"])
        assert (await validate(service, secret))["valid"] is True
        clock.advance(seconds=1)
        assert (await service.get("/v1/tenants/by-slug/acme")).status_code == 401

    async def test_are_bound_to_addresses_and_to_a_rate(self, app: Any, superadmin: Member) -> None:
        elsewhere = await make_service_token(superadmin, allowed_ips=["203.0.113.0/24"])
        answer = await bearer(app, elsewhere["secret_key"]).get("/v1/tenants/by-slug/acme")
        assert (answer.status_code, answer.json()["code"]) == (403, "ip_not_allowed")
        slow = bearer(app, (await make_service_token(superadmin, rate_limit_rpm=1))["secret_key"])
        assert (await slow.get("/v1/tenants/by-slug/acme")).status_code == 200
        answer = await slow.get("/v1/tenants/by-slug/acme")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")


class TestOneCredentialIsNeverTakenForAnother:
    async def test_keys_are_no_session(self, app: Any, member: Member, superadmin: Member) -> None:
        for secret in (
            (await make_key(member))["secret_key"],
            (await make_service_token(superadmin))["secret_key"],
            member.tokens.refresh_token,
        ):
            answer = await bearer(app, secret).get("/v1/auth/sessions")
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")

    async def test_keys_and_refresh_tokens_are_no_service_token(self, app: Any, member: Member) -> None:
        forged = make_secret("syst_live_")
        for secret in (
            (await make_key(member))["secret_key"],
            member.tokens.refresh_token,
            "syst_live_",
            f"syst_live_{member.tokens.access_token}",
        ):
            answer = await bearer(app, secret).get("/v1/tenants/by-slug/acme")
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        answer = await bearer(app, forged).get("/v1/tenants/by-slug/acme")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")

    async def test_only_links_keys_open_the_links_api(
        self, app: Any, member: Member, superadmin: Member
    ) -> None:
        scopes = ["links:read", "links:write", "clicks:read"]
        for secret in (
            (await make_key(member, scopes=scopes))["secret_key"],
            (await make_key(member, scopes=scopes, environment="Test"))["secret_key"],
            (await make_service_token(superadmin))["secret_key"],
            member.tokens.access_token,
            member.tokens.refresh_token,
        ):
            answer = await links_client_of(app, {"X-API-Key": secret}).get("/links")
            assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid or revoked API key."})

    async def test_nor_does_a_key_that_only_looks_like_one(
        self, app: Any, member: Member, pool: asyncpg.Pool
    ) -> None:
        """The kind is looked up as well: what a prefix says is not enough."""
        key, disguised = await make_key(member, scopes=["links:read"]), make_secret("klinky_live_")
        await pool.execute(
            "UPDATE api_keys SET key_hash = $1 WHERE id = $2",
            hashlib.sha256(disguised.encode()).digest(),
            uuid.UUID(key["id"]),
        )
        answer = await links_client_of(app, {"X-API-Key": disguised}).get("/links")
        assert answer.status_code == 401
