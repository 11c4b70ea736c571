"""The demo account of a local stack: made through the front door, and only once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from control_plane.core.tokens import issue_token
from deploy.admin import appoint_admin
from deploy.data_folder import Demo, DemoProject, Login
from deploy.http_probe import fetch
from deploy.process import StartFailed

TOKEN_TTL_S: Final = 30 * 86_400
TENANT: Final = "demo"
EMAIL: Final = "admin@example.com"

_SCOPES: Final = (
    *("projects:read", "projects:write", "visits:read", "clicks:read", "conversions:read"),
    *("sales:read", "sales:write"),
)

_JSON: Final = {"Content-Type": "application/json"}
_LINK: Final = {
    "name": "Demo: two landing pages",
    "variants": [
        {"label": "A", "destination_url": "https://example.com/?variant=A", "weight": 50},
        {"label": "B", "destination_url": "https://example.org/?variant=B", "weight": 50},
    ],
}


def sign_token(user_id: uuid.UUID, *, secret: str, issuer: str, ttl_s: int = TOKEN_TTL_S) -> str:
    """Sign a token that starts now."""
    return issue_token(user_id, secret=secret, issuer=issuer, now=datetime.now(UTC), ttl_s=ttl_s)


async def is_alive(demo: Demo, api_url: str) -> bool:
    """Tell whether the demo's key and link are known to this API: it may have another database now."""
    url = f"{api_url}/api/v1/public/links/{demo.link_id}"
    answer = await fetch(url, headers={"X-API-Key": demo.api_key})
    return answer.status not in {401, 403, 404}


async def make_demo(*, database_url: str, api_url: str, jwt_secret: str, jwt_issuer: str) -> Demo:
    """Make a tenant with its admin, a project, an API key and an A/B link. Raises StartFailed."""
    login = await appoint_admin(database_url, tenant_slug=TENANT, email=EMAIL)
    token = sign_token(login.user_id, secret=jwt_secret, issuer=jwt_issuer)
    project = await _make_project(api_url, login)
    api = f"{api_url}/api/v1/public"
    key = await _post(f"{api}/keys?name=Demo", {"Authorization": f"Bearer {token}"})
    content = _LINK | {"project_id": str(project.id)}
    link = await _post(f"{api}/links", {"X-API-Key": key["key"]}, content)
    return Demo(login.user_id, key["key"], uuid.UUID(link["id"]), link["slug"], login, project)


async def _make_project(api_url: str, login: Login) -> DemoProject:
    """Make a project, and a key that may do with it what there is to do. Raises StartFailed."""
    who = {"tenant_slug": login.tenant_slug, "email": login.email, "password": login.password}
    session = await _post(f"{api_url}/v1/auth/login", {}, who)
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    tenant_id = (await _ask(f"{api_url}/v1/users/me", bearer))["tenant_id"]
    keys = f"{api_url}/v1/tenants/{tenant_id}/api-keys"
    key = (await _post(keys, bearer, {"name": "Demo", "scopes": _SCOPES}))["secret_key"]
    wanted = {"name": "Demo shop", "currency": "USD"}
    made = await _post(f"{api_url}/v1/projects", {"Authorization": f"Bearer {key}"}, wanted)
    return DemoProject(uuid.UUID(made["data"]["id"]), made["data"]["secret"], key)


async def _post(url: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> dict[str, Any]:
    return await _ask(url, headers | _JSON, msgspec.json.encode(body) if body else b"", method="POST")


async def _ask(
    url: str, headers: dict[str, str], body: bytes = b"", *, method: str = "GET"
) -> dict[str, Any]:
    answer = await fetch(url, method=method, headers=headers, body=body, timeout_s=20)
    if answer.status not in {200, 201}:
        raise StartFailed(f"{method} {url} answered {answer.status}: {answer.body.decode(errors='replace')}")
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found
