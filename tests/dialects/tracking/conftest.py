"""Callers of the tracking API: keys of a tenant, with the scopes that a test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Actor, ActorKind
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import KeyKind, KeySpec
from tests.dialects.members import client_of, make_tenant
from tests.dialects.tracking.rows import add_project

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock

READS = ("projects:read", "visits:read", "clicks:read", "conversions:read", "sales:read")


REPORTING = ("sales:write", "sales:read", "conversions:read")


class KeyHolder:
    """A key of a tenant; `api` calls with it."""

    def __init__(self, app: Any, tenant_id: uuid.UUID, secret: str) -> None:
        self.tenant_id = tenant_id
        self.secret = secret
        self.api: httpx.AsyncClient = client_of(app, {"Authorization": f"Bearer {secret}"})


async def make_holder(  # noqa: PLR0913  what tests vary
    app: Any,
    pool: asyncpg.Pool,
    now: datetime,
    *,
    tenant_id: uuid.UUID | None = None,
    scopes: tuple[str, ...] = READS,
    prefix: str = "fr_live_",
    **changes: Any,
) -> KeyHolder:
    """Make a key, of a new tenant unless one is given. `changes`: fields of KeySpec."""
    tenant_id = tenant_id or await make_tenant(pool, now)
    spec = KeySpec(kind=KeyKind.IDENTITY, name="tests", scopes=scopes, **changes)
    actor = Actor(kind=ActorKind.SYSTEM)
    async with pool.acquire() as db, db.transaction():
        new = await api_keys.create_key(db, actor, tenant_id, spec, prefix=prefix, now=now)
    return KeyHolder(app, tenant_id, new.secret)


@pytest.fixture
async def holder(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    """A key that may read everything."""
    return await make_holder(app, pool, clock())


@pytest.fixture
async def foreign_holder(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    """The same, of another tenant."""
    return await make_holder(app, pool, clock())


@pytest.fixture
async def writer(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    """A key that may report sales, and read them."""
    return await make_holder(app, pool, clock(), scopes=REPORTING)


@pytest.fixture
async def project_id(pool: asyncpg.Pool, writer: KeyHolder) -> uuid.UUID:
    """A project of that key's tenant."""
    return await add_project(pool, writer.tenant_id)
