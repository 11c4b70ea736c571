"""Fixtures for sign-ins with a provider: both providers, and somebody with a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from tests.dialects.members import Member, client_of, make_member, make_tenant
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, OidcProvider, read_form

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    import asyncpg

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock

APP_URI = "test.acme.app:/signed-in"


class Visitor:
    """Somebody with a browser: goes from us to a provider, signs in there, and comes back.

    `prefix`: of the paths of start and finish. `common`: what is in both bodies.
    """

    def __init__(self, api: httpx.AsyncClient, prefix: str, **common: str) -> None:
        self.api = api
        self.prefix = prefix
        self.common = common

    async def start(self, provider: str = "google", **changes: Any) -> httpx.Response:
        body = {"redirect_uri": REDIRECT_URI} | self.common | changes
        return await self.api.post(f"{self.prefix}/{provider}/start", json=body)

    async def travel(self, provider: str = "google") -> dict[str, str]:
        """Go to the provider and sign in: what the redirect brings, as the body of the finish."""
        started = (await self.start(provider)).json()
        back = await visit(started["authorization_url"])
        assert back["state"] == started["state"]
        return self.common | {"code": back["code"], "state": back["state"]}

    async def finish(self, body: dict[str, str], provider: str = "google") -> httpx.Response:
        return await self.api.post(f"{self.prefix}/{provider}", json=body)

    async def go(self, provider: str = "google") -> httpx.Response:
        return await self.finish(await self.travel(provider), provider)


async def visit(url: str) -> dict[str, str]:
    """Open a provider's page, where one is signed in at once, and read where it redirects to."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"{REDIRECT_URI}&")
    return read_form(location.partition("?")[2])


@pytest.fixture
def google(clock: SetClock) -> Iterator[OidcProvider]:
    with OidcProvider(clock) as provider:
        yield provider


@pytest.fixture
def telegram(clock: SetClock) -> Iterator[OidcProvider]:
    """As Telegram is: without addresses, and without the nonce."""
    with OidcProvider(clock) as provider:
        provider.person = {"sub": "778899", "name": "Jane", "preferred_username": "jane"}
        provider.echoes_nonce = False
        yield provider


@pytest.fixture
def settings(settings: Settings, google: OidcProvider, telegram: OidcProvider) -> Settings:
    return msgspec.structs.replace(
        settings,
        google_client_id=CLIENT_ID,
        google_client_secret=CLIENT_SECRET,
        google_issuer=google.issuer,
        telegram_client_id=CLIENT_ID,
        telegram_client_secret=CLIENT_SECRET,
        telegram_issuer=telegram.issuer,
        oauth_redirect_uris=f"{REDIRECT_URI}, {APP_URI}",
    )


@pytest.fixture
async def tenant_id(pool: asyncpg.Pool, clock: SetClock) -> uuid.UUID:
    return await make_tenant(pool, clock())


@pytest.fixture
async def visitor(app: Any, pool: asyncpg.Pool, tenant_id: uuid.UUID) -> Visitor:
    """Somebody who wants to sign in to the tenant."""
    slug = await slug_of(pool, tenant_id)
    return Visitor(client_of(app), "/v1/auth/login/oauth", tenant_slug=slug)


@pytest.fixture
async def namesake(
    app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, tenant_id: uuid.UUID
) -> Member:
    """A user of the tenant who registered with the address that Google knows the visitor by."""
    return await make_member(app, pool, settings, clock(), tenant_id=tenant_id, email="Jane@Acme.test")


async def slug_of(pool: asyncpg.Pool, tenant_id: uuid.UUID) -> str:
    slug: str = await pool.fetchval("SELECT slug FROM tenants WHERE id = $1", tenant_id)
    return slug
