"""How records are put into Redis: bounded in size and in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from control_plane.core.lua_scripts import load_lua

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.client import Pipeline

    from edge.contract.redis_shards import RedisShards

BATCH_SIZE: Final = 500
"""Rows of an outbox that are published together."""
RESYNC_PAGE_SIZE: Final = 1000
REDIS_TIMEOUT_S: Final = 5.0
"""For one round trip of at most RESYNC_PAGE_SIZE records, which takes some 25 ms."""

_PUBLISH_FIELD: Final = load_lua("publish_field")


async def write_fields(redis: RedisShards, name: str, fields: Sequence[tuple[str, int, bytes]]) -> None:
    """Write (field, version, value) into the hash `name`, unless a newer version is there."""
    for start in range(0, len(fields), RESYNC_PAGE_SIZE):
        async with redis.at(name) as master, master.pipeline(transaction=False) as pipe:
            for field, version, value in fields[start : start + RESYNC_PAGE_SIZE]:
                pipe.eval(_PUBLISH_FIELD, 1, name, field, str(version), value)
            await execute(pipe)


async def execute(pipe: Pipeline) -> list[Any]:
    """Run a pipeline. Raises TimeoutError when Redis hangs."""
    async with asyncio.timeout(REDIS_TIMEOUT_S):
        return await pipe.execute()
