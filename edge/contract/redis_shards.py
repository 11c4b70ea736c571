"""The way to the master that holds a key: one server, or the masters of a Redis Cluster.

A thin layer over redis-py's client for one server. Which master has which slots is asked of any node
when it is first needed, and again after any fault: a refused connection, a timeout, MOVED. Nothing is
sent twice behind the caller's back; callers come back later by themselves, or use `try_twice`.

redis-py's own client for clusters retries by itself, drops every connection to every node at a
fault, and does not pipeline scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError

from edge.contract import redis_keys
from edge.contract.redis_url import join_address, read_redis_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from redis.asyncio import Redis

T = TypeVar("T")

REDIS_FAULTS: Final = (RedisError, OSError, asyncio.TimeoutError)
"""Whatever a Redis that is away, slow, full or restarting makes a call raise."""

LOOK_UP_S: Final = 1.0
"""How long nodes are asked who has which slots, before the caller is told that nobody says."""
LOOK_UP_PAUSE_S: Final = 0.05
"""Between two such questions, so that visitors whose links are on a dead master do not flood the others."""
AT_ONCE_S: Final = 0.5
"""A call that failed sooner did not hang."""


class RedisShards:
    """Clients of the masters. `open_node`: opens a client of one server, given its URL.

    `url`: see redis_url.py. Raises ValueError when it is malformed.
    """

    def __init__(self, url: str, open_node: Callable[[str], Redis]) -> None:
        self._url = read_redis_url(url)
        self._open_node = open_node
        self._nodes: dict[str, Redis] = {}
        self._to_ask = deque(self._url.nodes)
        self._masters: list[str] = [""] * redis_keys.SLOTS
        self._is_stale = self.is_cluster = bool(self._url.nodes)
        self._next_look_up_s = 0.0
        self._looking_up = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def at(self, key: str) -> AsyncIterator[Redis]:
        """Give the client of the master that holds `key`, for calls on keys that it holds.

        Raises whatever a call inside raises; a fault has the masters looked up anew.
        """
        node = await self._find_master(key)
        redis = self._get_client(node)
        try:
            yield redis
        except REDIS_FAULTS as error:
            self._is_stale = self.is_cluster
            if isinstance(error, MovedError):  # the cluster itself says that it has changed
                self._next_look_up_s = 0.0
            raise

    async def try_twice(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, and make it once more if it failed at once.

        For calls that may be repeated, of callers who cannot come back later. A connection whose server
        has gone is found out by using it, and so is a slot that has: the second try has a new connection
        (pools give out first what came back last) and a new map. What hung is not tried again.
        """
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            return await call()
        except REDIS_FAULTS:
            if clock() - started > AT_ONCE_S:
                raise
        return await call()

    async def split(self, keys: Iterable[str]) -> list[list[str]]:
        """Sort keys by the master that holds them: each list is for one `at(keys[0])`."""
        found: dict[str, list[str]] = {}
        for key in keys:
            found.setdefault(await self._find_master(key), []).append(key)
        return list(found.values())

    async def list_masters(self) -> list[Redis]:
        """Give a client of every master that holds something of ours."""
        nodes = {await self._find_master(redis_keys.links_ready(group)) for group in range(redis_keys.GROUPS)}
        return [self._get_client(node) for node in sorted(nodes)]

    async def _find_master(self, key: str) -> str:
        if not self.is_cluster:
            return ""
        if self._is_stale:
            await self._look_up()
        if node := self._masters[redis_keys.find_slot(key)]:
            return node
        raise RedisConnectionError(f"no node of the cluster is known to hold {key}")

    def _get_client(self, node: str) -> Redis:
        redis = self._nodes.get(node)
        if redis is None:
            redis = self._nodes[node] = self._open_node(self._url.of_node(node))
        return redis

    async def _look_up(self) -> None:
        """Ask one node after another who has which slots."""
        clock = asyncio.get_running_loop().time
        async with self._looking_up:
            if not self._is_stale or clock() < self._next_look_up_s:
                return
            self._next_look_up_s = clock() + LOOK_UP_PAUSE_S
            reason: BaseException | None = None
            async with asyncio.timeout(LOOK_UP_S):
                for _ in range(len(self._to_ask)):
                    # In turn: a node that hangs, or is cut off from the others, is not asked again soon.
                    asked = self._to_ask[0]
                    self._to_ask.rotate(-1)
                    try:
                        ranges: Any = await self._get_client(asked).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]  # redis-py's
                    except REDIS_FAULTS as error:
                        reason = error
                        continue
                    await self._take_over(ranges, asked)
                    return
            raise RedisConnectionError(
                f"no node of the cluster says who has which slots: {reason}"
            ) from reason

    async def _take_over(self, ranges: list[Any], asked: str) -> None:
        masters = [""] * redis_keys.SLOTS
        nodes: dict[str, None] = {}
        for first, last, *members in ranges:
            addresses = [_read_address(member, asked) for member in members]
            masters[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes |= dict.fromkeys(addresses)
        self._masters, self._is_stale = masters, False
        known = dict.fromkeys([*nodes, *self._url.nodes])
        asked_before = [node for node in self._to_ask if node in known]
        self._to_ask = deque([*(known.keys() - set(asked_before)), *asked_before])
        for gone in self._nodes.keys() - set(self._to_ask):
            with contextlib.suppress(*REDIS_FAULTS):
                await self._nodes.pop(gone).aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        for redis in self._nodes.values():
            with contextlib.suppress(*REDIS_FAULTS):
                await redis.aclose()
        self._nodes.clear()


def _read_address(member: list[Any], asked: str) -> str:
    """Read a node's address; one that does not know its own name is where it was asked."""
    host, port = member[0], int(member[1])
    name = host.decode() if isinstance(host, bytes) else host
    return join_address(name or asked.rpartition(":")[0].strip("[]"), port)
