"""Questions to a Postgres and a Redis, wherever they run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec
from redis.exceptions import ResponseError

from control_plane.core.redis_client import open_redis
from deploy.process import StartFailed
from edge.contract.redis_shards import REDIS_FAULTS
from edge.contract.redis_url import without_password

if TYPE_CHECKING:
    from redis.asyncio import Redis

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


async def read_redis(url: str, timeout_s: float = 5.0) -> list[RedisFacts]:
    """Ask Redis, or every master of a cluster, for its facts. Raises one of REDIS_FAULTS or ValueError."""
    async with open_redis(url, timeout_s=timeout_s) as shards:
        return [await _read_facts(redis) for redis in await shards.list_masters()]


async def _read_facts(redis: Redis) -> RedisFacts:
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


async def await_redis(url: str, patience_s: float = PATIENCE_S) -> list[RedisFacts]:
    """Wait until Redis, or every master of a cluster, answers. Raises StartFailed if not, or if too old."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            facts = await read_redis(url)
            break
        except (*REDIS_FAULTS, ValueError) as error:
            if time.monotonic() > deadline or isinstance(error, ValueError):
                raise StartFailed(f"Redis at {without_password(url)} does not answer: {error}") from error
        await asyncio.sleep(0.2)
    oldest = min(facts, key=lambda one: one.major)
    if oldest.major < OLDEST_REDIS:
        raise StartFailed(
            f"Redis at {without_password(url)} is {oldest.version}; 7 is the oldest that works."
        )
    return facts
