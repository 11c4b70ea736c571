from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest

from control_plane.db.pool import open_pool
from control_plane.pipeline import publisher
from control_plane.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from control_plane.db.pool import Pool


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)


@pytest.fixture
async def db_pool(database_url: str) -> AsyncIterator[Pool]:
    """A pool as the flusher opens it, to a database with one tenant (id 1) and its project (id 2)."""
    pool = await open_pool(database_url, size=4)
    tenant, project = uuid.UUID(int=1), uuid.UUID(int=2)
    await pool.execute(
        "INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'a', 'free', now())", tenant
    )
    await pool.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at)"
        " VALUES ($1, $2, 'a', now(), now())",
        tenant,
        project,
    )
    yield pool
    await pool.close()


@pytest.fixture
def run_publisher(settings: Settings) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Run a publisher inside a `with`; at its end the publisher has returned by itself."""

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(publisher.run(settings, stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)

    return run
