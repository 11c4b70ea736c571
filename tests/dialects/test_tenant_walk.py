"""Every operation that names a thing, called with the token and key of another tenant.

The list of operations is the route table itself: a route that is added later is walked too, and the test
fails until SAMPLES knows what stands at its parameters.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest

from control_plane.core.actor import Actor, ActorKind
from control_plane.dialects.tracking.paths import is_ours as is_tracking
from control_plane.domains.api_keys.model import Scope
from control_plane.domains.privacy import service as privacy
from control_plane.domains.privacy.model import ErasureKind, ErasureRequest
from tests.dialects.links.conftest import Caller, create, make_caller
from tests.dialects.members import client_of
from tests.dialects.second_factors import set_up
from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_campaign, add_clicks, add_conversions, add_project, add_visits

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

BODIES: dict[str, dict[str, Any]] = {
    "PATCH /api/v1/public/links/{id}": {"name": "Taken over"},
    "POST /api/v1/public/links/{id}/winner": {"variant": "control"},
    "POST /v1/tenants/{tenant_id}/domains/verify": {"domain": "go.acme.com"},
    "POST /v1/users/{user_id}/ban": {"reason": "Taken over"},
}
"""Bodies that are fine, for operations that refuse any other before they look for the thing."""

QUERIES: dict[str, dict[str, str]] = {
    "GET /api/v1/public/links/{id}/analytics/breakdown": {"by": "country"},
    "GET /v1/projects/{project_id}/analytics/breakdown": {"by": "country"},
    "GET /v1/projects/{project_id}/campaigns/{campaign_id}/analytics/breakdown": {"by": "country"},
}
"""The same of query parameters."""

PUBLIC = {"/v1/avatars/{drawing}", "/v1/tenants/by-slug/{slug}"}
"""What belongs to nobody, and what of a tenant everybody may see: their own tests look at what it shows."""

HIDDEN = {403, 404}


def list_operations(app: Any) -> Iterator[tuple[str, str]]:
    """List (method, path) of every route that has a parameter, with the parameters' bare names."""
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path_format)
        for method in sorted(getattr(route, "methods", ())):
            if (
                "{" in path
                and "/docs/" not in path
                and path not in PUBLIC
                and method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
            ):
                yield method, path


@pytest.fixture
async def victim(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    return await make_caller(app, pool, settings, clock())


@pytest.fixture
async def samples(
    pool: asyncpg.Pool, victim: Caller, member: Member, superadmin: Member, clock: SetClock
) -> dict[str, str]:
    """Ids of things that are the victims': `member` of one tenant, `victim` of another."""
    numbers = await pool.fetchrow(
        "SELECT u.number AS user, t.number AS tenant FROM users u JOIN tenants t ON t.id = u.tenant_id"
        " WHERE u.id = $1",
        member.user_id,
    )
    assert numbers is not None
    link = await create(victim)
    key = (await victim.manage.post("/keys?name=Mine")).json()
    tenant = f"/v1/tenants/{member.tenant_id}"
    domain = (await member.api.post(f"{tenant}/domains/verify", json={"domain": "go.acme.com"})).json()
    own_key = (await member.api.post(f"{tenant}/api-keys", json={"name": "Mine", "scopes": []})).json()
    token = (await superadmin.api.post("/v1/service-tokens", json={"name": "Mine"})).json()
    tracked = await track(pool, member.tenant_id)
    return tracked | {
        "/api/v1/public/links/{id}": link["id"],
        "/api/v1/public/keys/{key_id}": key["id"],
        "/v1/auth/mfa/factors/{factor_id}": (await set_up(member, clock)).factor_id,
        "/v1/auth/sessions/{session_id}": str(member.session_id),
        "/v1/auth/login/oauth/{provider}": "google",
        "/v1/auth/identities/{provider}": "google",
        "/v1/tenants/{tenant_id}": str(member.tenant_id),
        "/v1/blog/approvals/{tenant_id}": str(member.tenant_id),
        "/v1/tenants/{tenant_id}/api-keys/{api_key_id}": own_key["id"],
        "/v1/service-tokens/{api_key_id}": token["id"],
        "/v1/tenants/{tenant_id}/domains/{domain_id}": domain["id"],
        "/v1/users/{user_id}": str(member.user_id),
        "/api/v1/users/{user_id}": str(numbers["user"]),
        "/api/v1/tenants/{tenant_id}": str(numbers["tenant"]),
    }


async def track(pool: asyncpg.Pool, tenant_id: uuid.UUID) -> dict[str, str]:
    """Make one of everything that the tracking API shows; give its ids."""
    project_id = await add_project(pool, tenant_id)
    ids = {"/v1/projects/{project_id}": str(project_id)}
    campaign = await add_campaign(pool, tenant_id, project_id, "spring")
    ids["/v1/projects/{project_id}/campaigns/{campaign_id}"] = str(campaign)
    (ids["/v1/visits/{visit_id}"],) = await add_visits(pool, tenant_id, project_id, {})
    (ids["/v1/clicks/{click_id}"],) = await add_clicks(pool, tenant_id, {}, first=9)
    for kind, name in enumerate(("checkout", "sale", "refund", "upsell"), 1):
        found = await add_conversions(pool, tenant_id, project_id, kind, {})
        ids[f"/v1/{name}s/{{{name}_id}}"] = found[0]
    asked = ErasureRequest(kind=ErasureKind.CLICK, subject=ids["/v1/clicks/{click_id}"])
    async with pool.acquire() as db, db.transaction():
        erasure, _is_new = await privacy.request_erasure(
            db, Actor(kind=ActorKind.SYSTEM), tenant_id, asked, datetime.now(UTC)
        )
    ids["/v1/erasures/{erasure_id}"] = str(erasure.id)
    return ids


@pytest.fixture
async def key_of_intruder(
    app: Any, pool: asyncpg.Pool, clock: SetClock, stranger: Member
) -> httpx.AsyncClient:
    """Their key with every scope, which goes where their session's token would."""
    scopes = get_args(Scope)
    return (await make_holder(app, pool, clock(), tenant_id=stranger.tenant_id, scopes=scopes)).api


@pytest.fixture
async def intruder(
    app: Any,
    pool: asyncpg.Pool,
    settings: Settings,
    clock: SetClock,
    stranger: Member,
) -> httpx.AsyncClient:
    """An admin of a third tenant, with every credential that there is."""
    links = await make_caller(app, pool, settings, clock())
    bearer = {"Authorization": f"Bearer {stranger.tokens.access_token}"}
    return client_of(app, bearer | {"X-API-Key": links.secret})


def wants_key(path: str) -> bool:
    """Tell whether an operation is for keys alone."""
    return is_tracking(path) and "/approvals/" not in path


def fill(path: str, samples: dict[str, str]) -> str:
    """Put the victims' ids at the parameters of a path. Raises KeyError naming one that is not known."""
    return re.sub(r"\{\w+\}", lambda found: samples[path[: found.end()]], path)


async def test_nobody_reaches_what_is_anothers(
    app: Any, intruder: httpx.AsyncClient, key_of_intruder: httpx.AsyncClient, samples: dict[str, str]
) -> None:
    operations = list(list_operations(app))
    assert len(operations) > len(samples)
    reached = {}
    for method, path in operations:
        body = BODIES.get(f"{method} {path}", {})
        caller = key_of_intruder if wants_key(path) else intruder
        answer = await caller.request(
            method,
            fill(path, samples),
            params=QUERIES.get(f"{method} {path}"),
            json=body if method != "GET" else None,
        )
        if answer.status_code not in HIDDEN:
            reached[f"{method} {path}"] = (answer.status_code, answer.text)
    assert reached == {}


async def test_lists_show_nothing_of_others(
    app: Any, intruder: httpx.AsyncClient, key_of_intruder: httpx.AsyncClient, samples: dict[str, str]
) -> None:
    """Operations that name nothing answer with the caller's own rows, if with any.

    The growth contract's numbers are left out: as digits, they stand in answers for other things.
    """
    for route in app.routes:
        if "{" not in route.path_format and "GET" in getattr(route, "methods", ()):
            caller = key_of_intruder if wants_key(route.path_format) else intruder
            answer = await caller.get(route.path_format)
            assert answer.status_code < 500, (route.path_format, answer.text)
            ids = {name: value for name, value in samples.items() if not value.isdecimal()}
            shown = [name for name, value in ids.items() if value in answer.text]
            assert shown == [], route.path_format
