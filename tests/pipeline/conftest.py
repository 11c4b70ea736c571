from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from control_plane.pipeline import publisher
from control_plane.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)


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
