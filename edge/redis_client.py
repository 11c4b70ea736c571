"""How the edge opens Redis: short timeouts and no hidden retries, because its callers retry."""

from __future__ import annotations

from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from edge.contract.redis_shards import RedisShards

CALL_TIMEOUT_S: Final = 1.0
FREE_CONNECTION_S: Final = 2.0
"""How long a call waits for a connection: a flood of look-ups keeps a busy core for about a second."""


def open_redis(url: str, *, block_s: float = 0.0, connections: int = 1) -> RedisShards:
    """Open a server or a cluster. `block_s`: how long blocking reads wait, on top of the usual timeout.

    `connections`: the most that it opens to one server; a call that finds none free waits for
    FREE_CONNECTION_S at most, so a Redis that hangs makes no calls pile up.
    """

    def open_node(node_url: str) -> Redis:
        pool = BlockingConnectionPool.from_url(
            node_url,
            max_connections=connections,
            timeout=FREE_CONNECTION_S,
            socket_timeout=CALL_TIMEOUT_S + block_s,
            socket_connect_timeout=CALL_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        return Redis.from_pool(pool)

    return RedisShards(url, open_node)
