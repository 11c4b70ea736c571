"""The API as a client sees it, on real servers, with a clock that tests set."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from control_plane.app import create_app, open_services
from control_plane.core.actor import Actor, ActorKind
from control_plane.core.tokens import issue_token
from control_plane.domains.accounts import service as accounts
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import LINKS_SCOPES, KeyKind, KeySpec
from control_plane.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from control_plane.domains.accounts.model import Account

PREFIX = "/api/v1/public"


class SetClock:
    """A clock that stands still until it is moved; it starts well inside an hour."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class Caller:
    """One user with an API key and a token, and a client for either."""

    def __init__(self, app: Any, account: Account, secret: str, token: str) -> None:
        self.account = account
        self.secret = secret
        self.token = token
        self.api = client_of(app, {"X-API-Key": secret})
        self.manage = client_of(app, {"Authorization": f"Bearer {token}"})


def client_of(app: Any, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://api.test{PREFIX}", headers=headers)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        jwt_secret="a secret of the tests, long enough",
        master_key="00" * 32,
        edge_url="http://go.example.com",
    )


@functools.cache
def routes() -> Any:
    """The application, built once: its routes take longer to build than most tests to run."""
    return create_app(
        Settings(database_url="", redis_url="redis://", jwt_secret="s" * 32, master_key="00" * 32)
    )


@pytest.fixture
async def app(settings: Settings, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    app = routes()
    monkeypatch.setattr(app, "_lifespan_managers", [lambda app: open_services(app, settings, clock)])
    async with running(app):
        yield app


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """Run an application's lifespan in a task of its own, where its task groups can end too."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    life = asyncio.create_task(live())
    await asyncio.wait({life, waiting := asyncio.create_task(started.wait())}, return_when="FIRST_COMPLETED")
    waiting.cancel()
    try:
        yield
    finally:
        stop.set()
        await life


async def make_caller(
    app: Any, pool: asyncpg.Pool, settings: Settings, now: datetime, plan_code: str = "growth"
) -> Caller:
    async with pool.acquire() as db, db.transaction():
        account = await accounts.create_tenant_with_user(
            db, tenant_name="Acme", email="owner@acme.test", plan_code="growth", now=now
        )
        spec = KeySpec(kind=KeyKind.LINKS, name="tests", scopes=LINKS_SCOPES)
        actor = Actor(kind=ActorKind.USER, tenant_id=account.tenant_id, user_id=account.user_id)
        new = await api_keys.create_key(
            db, actor, account.tenant_id, spec, prefix=settings.links_key_prefix, now=now
        )
        await db.execute("UPDATE tenants SET plan_code = $1 WHERE id = $2", plan_code, account.tenant_id)
    token = issue_token(
        account.user_id, secret=settings.jwt_secret, issuer=settings.jwt_issuer, now=now, ttl_s=86_400
    )
    return Caller(app, account, new.secret, token)


@pytest.fixture
async def caller(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    return await make_caller(app, pool, settings, clock())


@pytest.fixture
async def stranger(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    """A user of another tenant."""
    return await make_caller(app, pool, settings, clock())


@pytest.fixture
async def free_caller(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    """A user whose plan has lost API access."""
    return await make_caller(app, pool, settings, clock(), plan_code="free")


@pytest.fixture
def anonymous(app: Any) -> httpx.AsyncClient:
    return client_of(app)


def link_body(**changes: Any) -> dict[str, Any]:
    body = {
        "name": "Homepage Test",
        "variants": [
            {"label": "control", "destination_url": "https://example.com/control", "weight": 50},
            {"label": "variant_b", "destination_url": "https://example.com/variant-b", "weight": 50},
        ],
    }
    return body | changes


async def create(caller: Caller, **changes: Any) -> dict[str, Any]:
    response = await caller.api.post("/links", json=link_body(**changes))
    assert response.status_code == 201, response.text
    link: dict[str, Any] = response.json()
    return link


async def count_rows(pool: asyncpg.Pool, table: str) -> int:
    count: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return count
