"""Count requests per subject and clock window, an hour or a minute, in Redis.

Counting is exact under concurrency (lua/count_request.lua). When Redis is away every request
is let through and the fact is logged: a cache that is down must not take the API down.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from control_plane.core.errors import RateLimited
from control_plane.core.lua_scripts import load_lua
from control_plane.domains.limits.model import LimitStatus
from edge.contract import redis_keys
from edge.contract.redis_shards import REDIS_FAULTS

if TYPE_CHECKING:
    from edge.contract.redis_shards import RedisShards

HOUR_S: Final = 3600
MINUTE_S: Final = 60
COUNTER_WINDOWS: Final = 2
"""How many windows a counter lives: it outlives its own and then goes by itself."""

_COUNT_REQUEST: Final = load_lua("count_request")
_log = structlog.get_logger(__name__)


class RequestLimiter:
    """Counts requests in Redis."""

    def __init__(self, redis: RedisShards) -> None:
        self._redis = redis

    async def count_request(
        self, subject: str, limit: int, now: datetime, window_s: int = HOUR_S
    ) -> tuple[bool, LimitStatus]:
        """Count one request of `subject` against `limit` per window: (allowed, status after it).

        A window begins at a whole hour, or minute. A subject is counted in windows of one length.
        """
        window = _window_of(now, window_s)
        try:
            counter = redis_keys.rate_limit(subject, window)
            ttl_s = COUNTER_WINDOWS * window_s
            allowed, used = await self._redis.try_twice(lambda: self._count(counter, limit, ttl_s))
        except REDIS_FAULTS as error:
            _log.warning("rate_limit_not_counted", error=str(error))
            return True, _status(limit, 0, window, window_s)
        return bool(allowed), _status(limit, used, window, window_s)

    async def read_status(self, subject: str, limit: int, now: datetime) -> LimitStatus:
        """Tell where `subject` stands in this hour, without counting."""
        hour = _window_of(now, HOUR_S)
        try:
            used = await self._redis.try_twice(lambda: self._read(redis_keys.rate_limit(subject, hour)))
        except REDIS_FAULTS as error:
            _log.warning("rate_limit_not_read", error=str(error))
            used = 0
        return _status(limit, used, hour, HOUR_S)

    async def _count(self, counter: str, limit: int, ttl_s: int) -> tuple[int, int]:
        async with self._redis.at(counter) as redis:
            answer: Any = await redis.eval(_COUNT_REQUEST, 1, counter, limit, ttl_s)
        allowed, used = answer
        return allowed, used

    async def _read(self, counter: str) -> int:
        async with self._redis.at(counter) as redis:
            return int(await redis.get(counter) or 0)


def refuse(status: LimitStatus, now: datetime) -> RateLimited:
    """Make the error that tells a caller when to come back."""
    return RateLimited(max(1, math.ceil((status.reset_at - now).total_seconds())))


def _window_of(now: datetime, window_s: int) -> int:
    return int(now.timestamp()) // window_s


def _status(limit: int, used: int, window: int, window_s: int) -> LimitStatus:
    return LimitStatus(limit, max(0, limit - used), datetime.fromtimestamp((window + 1) * window_s, UTC))
