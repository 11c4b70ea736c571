"""Which partitions the event stream has, as its readers find out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.contract import redis_keys

if TYPE_CHECKING:
    from edge.contract.redis_shards import RedisShards


async def read_partitions(shards: RedisShards) -> set[int]:
    """Give the partitions that may hold chunks: the first, and every one that an edge has shipped to."""
    async with shards.at(redis_keys.event_partitions()) as redis:
        members: Any = await redis.smembers(redis_keys.event_partitions())
    known = range(redis_keys.GROUPS)
    return {0} | {int(member) for member in members if member.isdigit() and int(member) in known}


async def count_waiting(shards: RedisShards) -> int:
    """Give the chunks that wait in all partitions."""
    waiting = 0
    for partition in await read_partitions(shards):
        stream = redis_keys.events(partition)
        async with shards.at(stream) as redis:
            waiting += await redis.xlen(stream)
    return waiting
