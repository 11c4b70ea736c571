"""Real servers for every test: each worker of pytest-xdist starts a Postgres and a Valkey of its own.

With SWITCHYARD_DATABASE_URL or SWITCHYARD_REDIS_URL set, the server behind it is used instead:
the tests make databases of their own there, and in Redis they use a database that is empty or
that they marked as theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from control_plane.core.redis_client import open_redis
from control_plane.db.migrate import migrate
from control_plane.db.pool import open_pool
from deploy.embedded import EmbeddedPostgres, EmbeddedValkey, RunningServer, make_server_folder
from tests.dns_server import serve_dns
from tests.http_server import serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from edge.contract.redis_shards import RedisShards
    from tests.dns_server import DnsServer
    from tests.http_server import HttpServer

_MEMORY_FOLDER, _MEMORY_ROOM = Path("/dev/shm"), 8 << 30
_MARK = "switchyard:tests"
"""Key that says: this Redis database belongs to the tests."""

hypothesis.settings.register_profile("switchyard", deadline=None)  # machines are noisy: speed is benchmarked
hypothesis.settings.load_profile("switchyard")


class TestServer(Protocol):
    """A database server as tests see it."""

    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class ForeignServer:
    """A server that somebody else runs: it is used, never stopped."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def pid(self) -> int:
        return pytest.skip("needs an embedded server")

    def start(self) -> None:
        """Nothing to do: it runs."""

    def stop(self) -> None:
        pytest.skip("needs an embedded server")

    def kill(self) -> None:
        pytest.skip("needs an embedded server")


def find_memory_folder() -> Path | None:
    """Find a file system in memory with room for a database for each test; None: the system's folder.

    Each database is some 700 files, whose making and deleting keeps a disk's file system busy.
    """
    try:
        has_room = shutil.disk_usage(_MEMORY_FOLDER).free >= _MEMORY_ROOM and os.access(
            _MEMORY_FOLDER, os.W_OK
        )
    except OSError:
        return None
    return _MEMORY_FOLDER if has_room else None


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="switchyard-test-", dir=find_memory_folder()))
    home.chmod(0o711)
    folder = make_server_folder(home / "servers")
    yield folder
    shutil.rmtree(home)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[TestServer]:
    if url := os.environ.get("SWITCHYARD_DATABASE_URL"):
        yield ForeignServer(url)
        return
    embedded = EmbeddedPostgres(server_folder, secrets.token_hex(16), durable=False)
    server = RunningServer(embedded, server_folder / "postgres.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server(server_folder: Path) -> Iterator[TestServer]:
    if url := os.environ.get("SWITCHYARD_REDIS_URL"):
        yield ForeignServer(url)
        return
    embedded = EmbeddedValkey(server_folder, secrets.token_hex(16))
    server = RunningServer(embedded, server_folder / "valkey.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: TestServer) -> Iterator[str]:
    name = f"switchyard_template_{secrets.token_hex(6)}"
    asyncio.run(_execute(postgres_server.url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate(_with_path(postgres_server.url, name)))
    yield name
    asyncio.run(_execute(postgres_server.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def database_url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    postgres_server.start()
    name = f"switchyard_test_{secrets.token_hex(6)}"
    create = f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY"
    asyncio.run(_execute(postgres_server.url, create))
    yield _with_path(postgres_server.url, name)
    postgres_server.start()
    asyncio.run(_execute(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def redis_database(valkey_server: TestServer) -> Iterator[str]:
    if isinstance(valkey_server, ForeignServer):
        url = _claim_redis_database(valkey_server.url)
        yield url
        with contextlib.closing(BlockingRedis.from_url(url)) as client:
            client.flushdb()
    else:
        yield valkey_server.url


@pytest.fixture
def redis_url(valkey_server: TestServer, redis_database: str) -> str:
    """A Redis database that holds nothing (but the tests' mark, on a server of somebody else)."""
    valkey_server.start()
    with contextlib.closing(BlockingRedis.from_url(redis_database)) as client:
        client.flushdb()
        if isinstance(valkey_server, ForeignServer):
            client.set(_MARK, 1)
    return redis_database


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await open_pool(database_url, size=5)
    yield pool
    pool.terminate()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def shards(redis_url: str) -> AsyncIterator[RedisShards]:
    """The same Redis as the processes of Switchyard open it."""
    async with open_redis(redis_url, timeout_s=5.0) as shards:
        yield shards


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    """A DNS server that a test fills."""
    async with serve_dns() as server:
        yield server


@pytest.fixture
async def http_server() -> AsyncIterator[HttpServer]:
    """An HTTP server that answers what a test tells it to."""
    async with serve_http() as server:
        yield server


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _claim_redis_database(url: str) -> str:
    """Find a Redis database that is empty, and mark it. Raises when there is none."""
    for number in range(16):
        candidate = _with_path(url, str(number))
        with contextlib.closing(BlockingRedis.from_url(candidate)) as client:
            if client.dbsize() == 0 and client.set(_MARK, 1, nx=True):
                return candidate
    raise RuntimeError("none of the 16 databases of SWITCHYARD_REDIS_URL is empty")
