"""Questions to a Postgres and a Redis, wherever they run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from deploy.process import StartFailed

OLDEST_POSTGRES: Final = 15
OLDEST_REDIS: Final = 7
PATIENCE_S: Final = 20.0


class PostgresFacts(msgspec.Struct, frozen=True):
    """What a Postgres says of itself. `version`: as 18.4."""

    version: str
    major: int


class RedisFacts(msgspec.Struct, frozen=True):
    """What a Redis or Valkey says of itself. `product`: redis or valkey. `memory_limit_mb` 0: none."""

    product: str
    version: str
    major: int
    memory_policy: str
    used_memory_mb: float
    memory_limit_mb: float


async def read_postgres(url: str, timeout_s: float = 5.0) -> PostgresFacts:
    """Ask Postgres for its version. Raises OSError, TimeoutError or asyncpg.PostgresError."""
    db = await asyncpg.connect(url, timeout=timeout_s)
    try:
        version: str = await db.fetchval("SHOW server_version")
        return PostgresFacts(version.split(maxsplit=1)[0], db.get_server_version().major)
    finally:
        await db.close()


async def read_redis(url: str, timeout_s: float = 5.0) -> RedisFacts:
    """Ask Redis for its version and memory policy. Raises RedisError or OSError."""
    async with Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s) as redis:
        info: dict[str, Any] = await redis.info()
        policy: dict[Any, Any] = {}
        with contextlib.suppress(ResponseError):  # hosted servers may not show their configuration
            policy = await redis.config_get("maxmemory-policy")
    product = "valkey" if "valkey_version" in info else "redis"
    version = str(info[f"{product}_version"])
    return RedisFacts(
        product=product,
        version=version,
        major=int(version.partition(".")[0]),
        memory_policy=str(policy.get("maxmemory-policy", "unknown")),
        used_memory_mb=int(info["used_memory"]) / 2**20,
        memory_limit_mb=int(info.get("maxmemory", 0)) / 2**20,
    )


async def await_postgres(url: str, patience_s: float = PATIENCE_S) -> PostgresFacts:
    """Wait until Postgres answers. Raises StartFailed when it does not, or is too old."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            facts = await read_postgres(url)
            break
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() > deadline:
                raise StartFailed(f"Postgres at {without_password(url)} does not answer: {error}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise StartFailed(f"Postgres at {without_password(url)} refuses us: {error}") from error
        await asyncio.sleep(0.2)
    if facts.major < OLDEST_POSTGRES:
        raise StartFailed(
            f"Postgres at {without_password(url)} is {facts.version}; 15 is the oldest that works."
        )
    return facts


async def await_redis(url: str, patience_s: float = PATIENCE_S) -> RedisFacts:
    """Wait until Redis answers. Raises StartFailed when it does not, or is too old."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            facts = await read_redis(url)
            break
        except (RedisError, OSError, ValueError) as error:
            if time.monotonic() > deadline or isinstance(error, ValueError):
                raise StartFailed(f"Redis at {without_password(url)} does not answer: {error}") from error
        await asyncio.sleep(0.2)
    if facts.major < OLDEST_REDIS:
        raise StartFailed(f"Redis at {without_password(url)} is {facts.version}; 7 is the oldest that works.")
    return facts


def without_password(url: str) -> str:
    """Give a URL fit for a message."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}" if parts.hostname else parts.scheme
