"""The demo account of a local stack: made through the front door, and only once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from control_plane.core.tokens import issue_token
from deploy.admin import appoint_admin
from deploy.data_folder import Demo
from deploy.http_probe import fetch
from deploy.process import StartFailed

TOKEN_TTL_S: Final = 30 * 86_400
TENANT: Final = "demo"
EMAIL: Final = "admin@example.com"

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
    """Make a tenant with its admin, an API key and an A/B link. Raises StartFailed."""
    login = await appoint_admin(database_url, tenant_slug=TENANT, email=EMAIL)
    token = sign_token(login.user_id, secret=jwt_secret, issuer=jwt_issuer)
    api = f"{api_url}/api/v1/public"
    key = await _post(f"{api}/keys?name=Demo", {"Authorization": f"Bearer {token}"})
    link = await _post(f"{api}/links", {"X-API-Key": key["key"]} | _JSON, msgspec.json.encode(_LINK))
    return Demo(login.user_id, key["key"], uuid.UUID(link["id"]), link["slug"], login)


async def _post(url: str, headers: dict[str, str], body: bytes = b"") -> dict[str, Any]:
    answer = await fetch(url, method="POST", headers=headers, body=body, timeout_s=20)
    if answer.status != 201:  # noqa: PLR2004
        raise StartFailed(f"POST {url} answered {answer.status}: {answer.body.decode(errors='replace')}")
    created: dict[str, Any] = msgspec.json.decode(answer.body)
    return created
