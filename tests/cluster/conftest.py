from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

import pytest

from control_plane.core.redis_client import open_redis
from control_plane.pipeline import flusher, publisher
from control_plane.settings import Settings
from tests.cluster.valkey_cluster import ValkeyCluster
from tests.edge.processes import EdgeProcesses
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from edge.contract.redis_shards import RedisShards


@pytest.fixture(scope="session")
def whole_cluster(server_folder: Path) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(server_folder / "cluster", secrets.token_hex(16))
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(whole_cluster: ValkeyCluster) -> ValkeyCluster:
    """An empty cluster in which every master has its replica."""
    whole_cluster.heal()
    return whole_cluster


@pytest.fixture
async def shards(cluster: ValkeyCluster) -> AsyncIterator[RedisShards]:
    async with open_redis(cluster.url, timeout_s=5.0) as shards:
        yield shards


@pytest.fixture
def settings(database_url: str, cluster: ValkeyCluster) -> Settings:
    return Settings(database_url=database_url, redis_url=cluster.url, jwt_secret="s" * 32)


class Pipeline:
    """A publisher and flushers in this process; each ends by itself when it is told to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start_publisher(self) -> None:
        self._tasks.append(asyncio.create_task(publisher.run(self._settings, self._stop)))

    def start_flusher(self, name: str = "flusher-1") -> None:
        settings = Settings(
            database_url=self._settings.database_url,
            redis_url=self._settings.redis_url,
            jwt_secret=self._settings.jwt_secret,
            flusher_name=name,
        )
        self._tasks.append(asyncio.create_task(flusher.run(settings, self._stop)))

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 30)


@pytest.fixture
async def pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    running = Pipeline(settings)
    yield running
    await running.stop()


@pytest.fixture
async def edge(tmp_path: Path, cluster: ValkeyCluster) -> AsyncIterator[EdgeProcesses]:
    """An edge worker that has begun to serve; its links come when a publisher runs."""
    processes = EdgeProcesses(tmp_path, cluster.url, server="wire", edge_server="wire")
    processes.start()
    await eventually(lambda: processes.get("/_/health/live")[0] == 200, timeout_s=20)
    yield processes
    with contextlib.suppress(ProcessLookupError):
        processes.kill()
