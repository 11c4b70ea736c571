"""Keeps links and custom domains true to Redis: fetches what is missing, follows what changes.

Redis may be away, empty, or restarted with old data, and so may each master of a cluster. For every
group of links there is a marker that says whether all of the group are there (readiness.py). While
it does not hold, cached links go on serving and a link that is not cached cannot be told from one
that does not exist: LinksUnavailableError, never "unknown". Custom domains are read whole before any
link counts; the marker of the first group, whose master has them, vouches for them as well.

Changes are a stream, not messages: after a broken connection the feed reads on from where it was.
Where that is no longer possible (other markers, or the stream was trimmed further), it forgets
the cache, starts anew, and fetches what it forgot in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError, ResponseError

from edge.contract import redis_keys
from edge.contract.link_record import BadLinkError, decode_link
from edge.contract.readiness import ASK_HISTORY, is_marker_of, read_history, read_markers
from edge.contract.redis_shards import REDIS_FAULTS
from edge.custom_domains import split_changes
from edge.link_cache import UNKNOWN_KEYS, RecentKeys
from edge.redis_client import open_redis

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.contract.link_record import LinkRecord
    from edge.contract.redis_shards import RedisShards
    from edge.link_cache import CachedLink, LinkCache

log = structlog.get_logger()

FOLLOW_BLOCK_MS: Final = 500
"""How long a read of the changes waits; also how often the markers are looked at."""
RETRY_S: Final = 0.1
LOADS_AT_ONCE: Final = 1000
"""Bounds what a flood of unknown slugs may hold in memory."""
LOADED_TOGETHER: Final = 100
"""Links in one round trip, which take the event loop about a millisecond."""
LOOK_UPS_AT_ONCE: Final = 4
"""Round trips under way: more of them would only make each carry fewer links."""
CONNECTIONS: Final = 16
"""Bounds what such a flood may ask of one server at one time."""
MISSING_TTL_S: Final = 1.0
"""How long Redis is not asked again for a link that it lacked while it did not have every link."""
RENEWED_AT_ONCE: Final = 200
RENEWAL_PAUSE_S: Final = 0.005
"""Links are renewed in steps that take the event loop about a millisecond each."""


Entry = tuple[bytes, dict[bytes, bytes]]


class LinksUnavailableError(Exception):
    """A link is not cached, and Redis cannot say whether it exists."""


class LinkFeed:
    """`cache`, with its domains, is kept by this feed alone. `key`: see redis_keys.link_key."""

    def __init__(self, redis_url: str, cache: LinkCache) -> None:
        self._cache = cache
        self._redis = open_redis(redis_url, connections=CONNECTIONS)
        self._follower = open_redis(redis_url, block_s=FOLLOW_BLOCK_MS / 1000)
        self._markers: list[bytes | None] = [None] * redis_keys.GROUPS
        self._next_markers_s = 0.0
        self._position = b"0-0"
        self._loading: dict[str, asyncio.Future[CachedLink | None]] = {}
        self._to_load: list[str] = []
        self._look_ups: set[asyncio.Task[None]] = set()
        self._changed_while_loading: set[str] = set()
        self._missing = RecentKeys(size=UNKNOWN_KEYS, ttl_s=MISSING_TTL_S)
        self._to_renew: list[str] = []
        self._in_renewal: set[str] = set()
        self.is_ready = False
        """Whether Redis answers and has every link."""
        self.beginnings = 0
        """How often the cache was forgotten to be filled anew."""
        self.tried = asyncio.Event()
        """Set once it is known whether Redis is there for a worker that starts."""

    @property
    def has_begun(self) -> bool:
        """Whether Redis has had every link since this worker began."""
        return self.beginnings > 0

    @property
    def has_caught_up(self) -> bool:
        """Whether the cache is true to Redis, and has what it had before it was last forgotten."""
        return self.is_ready and not self._to_renew and not self._in_renewal

    # --- fetching ----------------------------------------------------------------------------

    async def load(self, key: str) -> CachedLink | None:
        """Fetch a link into the cache; None when there is none. Raises LinksUnavailableError.

        Any number of visitors who ask for one key at once cost one look-up, and keys that are asked for
        at the same time share a round trip.
        """
        found = self._loading.get(key)
        if found is None:
            if self._missing.holds(key, time.monotonic()):
                raise LinksUnavailableError("Redis did not have it a moment ago, nor every link")
            if len(self._loading) >= LOADS_AT_ONCE:
                raise LinksUnavailableError("too many links are being looked up")
            found = self._loading[key] = asyncio.get_running_loop().create_future()
            if not self._to_load:  # else someone is on the way to take this one along
                self._start_look_up()
            self._to_load.append(key)
        return await asyncio.shield(found)

    def _start_look_up(self) -> None:
        if len(self._look_ups) < LOOK_UPS_AT_ONCE:
            look_up = asyncio.create_task(self._look_up_waiting())
            self._look_ups.add(look_up)
            look_up.add_done_callback(self._look_ups.discard)

    async def _look_up_waiting(self) -> None:
        """Look up what waits until nothing does."""
        while self._to_load:
            keys, self._to_load = self._to_load[:LOADED_TOGETHER], self._to_load[LOADED_TOGETHER:]
            if self._to_load:
                self._start_look_up()
            waiting = {key: self._loading[key] for key in keys}
            try:
                try:
                    batches = await _split(self._redis, keys)
                except REDIS_FAULTS:  # of one of them nobody knows the master
                    batches = [[key] for key in keys]
                await asyncio.gather(*map(self._look_up, batches))
            finally:
                for key, found in waiting.items():
                    if not found.done():  # a fault of ours, or the end of the worker
                        self._settle(key, LinksUnavailableError("the look-up was given up"))

    async def _look_up(self, keys: list[str]) -> None:
        """Look up links that one master holds, those that change meanwhile once more."""
        while keys:
            self._changed_while_loading -= set(keys)
            try:
                found = await self._redis.try_twice(partial(self._read_links, keys))
            except REDIS_FAULTS as error:
                if len(keys) > 1 and isinstance(error, ResponseError):  # of one of them, it may have moved
                    await asyncio.gather(*(self._look_up([key]) for key in keys))
                    return
                for key in keys:
                    self._settle(key, LinksUnavailableError("Redis does not answer"))
                return
            for key, (value, is_vouched_for) in zip(keys, found, strict=True):
                if key not in self._changed_while_loading:
                    self._settle(key, self._keep(key, value, is_vouched_for=is_vouched_for))
            keys = [key for key in keys if key in self._loading]

    def _keep(
        self, key: str, value: bytes | None, *, is_vouched_for: bool
    ) -> CachedLink | LinksUnavailableError | None:
        if value is not None:
            try:
                return self._cache.put(_read_record(key, value))
            except LinksUnavailableError as error:
                return error
        now_s = time.monotonic()
        if is_vouched_for:
            self._cache.put_unknown(key, now_s)
            return None
        self._missing.add(key, now_s)
        return LinksUnavailableError("Redis does not have every link yet")

    def _settle(self, key: str, found: CachedLink | LinksUnavailableError | None) -> None:
        """Tell those who wait for a key."""
        waiting = self._loading.pop(key)
        self._changed_while_loading.discard(key)
        if isinstance(found, LinksUnavailableError):
            waiting.set_exception(found)
            waiting.exception()  # seen, though every visitor who waited for it may be gone
        else:
            waiting.set_result(found)

    async def _read_links(self, keys: list[str]) -> list[tuple[bytes | None, bool]]:
        """Read links that one master holds, each with whether it does not exist if it is missing.

        It is asked over one connection, so that one server answers it all: if that is to be believed,
        and a group's marker is still the one that this feed began with, it had every link of the group
        just before.
        """
        groups = sorted({redis_keys.link_group(key) for key in keys})
        async with (
            self._redis.at(redis_keys.link(keys[0])) as redis,
            redis.pipeline(transaction=False) as pipe,
        ):
            for key in keys:
                pipe.get(redis_keys.link(key))
            for group in groups:
                pipe.get(redis_keys.links_ready(group))
            pipe.execute_command(ASK_HISTORY)
            *found, answer = await pipe.execute()
        values, markers = found[: len(keys)], found[len(keys) :]
        history = read_history(answer)
        whole = {
            group
            for group, marker in zip(groups, markers, strict=True)
            if marker == self._markers[group] and is_marker_of(marker, history)
        }
        return [(value, redis_keys.link_group(key) in whole) for key, value in zip(keys, values, strict=True)]

    # --- renewing ----------------------------------------------------------------------------

    def renew(self, keys: Iterable[str]) -> None:
        """Have links fetched in the background, while there is room for them."""
        self._to_renew.extend(keys)

    async def keep_renewing(self) -> None:
        """Fetch what is to be renewed until cancelled, at a pace that leaves room for visitors."""
        while True:
            while self.is_ready and self._to_renew:
                try:
                    await self._renew_some()
                except REDIS_FAULTS:
                    break
                await asyncio.sleep(RENEWAL_PAUSE_S)
            await asyncio.sleep(RETRY_S)

    async def _renew_some(self) -> None:
        batch, beginning = self._to_renew[-RENEWED_AT_ONCE:], self.beginnings
        del self._to_renew[-RENEWED_AT_ONCE:]
        left = self._in_renewal = set(batch)
        try:
            for keys in await _split(self._redis, batch):
                found = await self._read_links(keys)
                if beginning != self.beginnings or not all(
                    is_vouched_for for _value, is_vouched_for in found
                ):
                    break
                for key, (value, _is_vouched_for) in zip(keys, found, strict=True):
                    # Not what has changed since it was read: changes are passed on to cached links only.
                    if value is not None and key in self._in_renewal:
                        self._renew_one(key, value)
                left = left - set(keys)
        finally:
            self.renew(left)
            self._in_renewal = set()

    def _renew_one(self, key: str, value: bytes) -> None:
        if self._cache.is_full and key not in self._cache:
            self._to_renew.clear()
            return
        with contextlib.suppress(LinksUnavailableError):
            self._cache.store(_read_record(key, value))

    # --- following ---------------------------------------------------------------------------

    async def follow(self) -> None:
        """Keep the cache true until cancelled."""
        while True:
            try:
                await self._begin()
                while True:
                    await self._read_changes()
            except REDIS_FAULTS as error:
                if self.is_ready:
                    log.warning("links_feed_lost", error=str(error) or type(error).__name__)
                self.is_ready = False
                self.tried.set()
                await asyncio.sleep(RETRY_S)

    async def _begin(self) -> None:
        """Wait until Redis has every link; then find out where to read on from."""
        while None in (markers := await read_markers(self._follower)):
            self.is_ready = False
            if markers[0] is not None and not self._cache.domains.are_known:
                self._cache.domains.replace(await self._read_domains(markers[0]))
            self.tried.set()
            await asyncio.sleep(RETRY_S)
        if markers != self._markers or await self._is_trimmed():
            async with self._follower.at(redis_keys.link_changes()) as redis:
                newest: Any = await redis.xrevrange(redis_keys.link_changes(), count=1)
            position = newest[0][0] if newest else b"0-0"
            domains = await self._read_domains(markers[0])  # after that: no change is missed
            self._position = position
            self.renew(self._cache.list_keys())
            self._cache.clear()
            self._cache.domains.replace(domains)
            self.beginnings += 1
            # What is being loaded may have been read before a change that is not read any more.
            self._changed_while_loading |= self._loading.keys()
            log.info("links_feed_started", beginnings=self.beginnings)
        self._markers = markers
        self._missing.clear()
        self.is_ready = True
        self.tried.set()

    async def _are_markers_new(self) -> bool:
        """Tell whether a resync has ended since, or Redis has lost links; looked at now and then."""
        now_s = time.monotonic()
        if now_s < self._next_markers_s:
            return False
        self._next_markers_s = now_s + FOLLOW_BLOCK_MS / 1000
        return await read_markers(self._follower) != self._markers

    async def _is_trimmed(self) -> bool:
        """Tell whether changes that were not read are gone from the stream."""
        async with self._follower.at(redis_keys.link_changes()) as redis:
            oldest: Any = await redis.xrange(redis_keys.link_changes(), count=1)
        return bool(oldest) and _entry_order(oldest[0][0]) > _entry_order(self._position)

    async def _read_changes(self) -> None:
        changes = redis_keys.link_changes()
        async with self._follower.at(changes) as redis:
            found: Any = await redis.xread({changes: self._position}, count=1000, block=FOLLOW_BLOCK_MS)
        entries: list[Entry] = found[0][1] if found else []
        keys, domains = split_changes(fields[b"s"].decode() for _entry_id, fields in entries)
        if domains:
            await self._refresh_domains(sorted(domains))
        await self._refresh(keys)
        # Looked at after the read and from where it began: a worker that was stopped for a while
        # may find its connection alive, and the changes of that while trimmed.
        if await self._is_trimmed() or await self._are_markers_new():
            await self._begin()
        elif entries:
            self._position = entries[-1][0]

    async def _refresh(self, keys: set[str]) -> None:
        """Fetch the links that are cached anew; the others are fetched when they are asked for."""
        for key in keys:
            self._cache.forget_unknown(key)
            self._missing.discard(key)
        self._in_renewal -= keys
        self._changed_while_loading |= keys & self._loading.keys()
        cached = [key for key in keys if key in self._cache]
        for of_one_master in await _split(self._follower, cached):
            async with (
                self._follower.at(redis_keys.link(of_one_master[0])) as redis,
                redis.pipeline(transaction=False) as pipe,
            ):
                for key in of_one_master:
                    pipe.get(redis_keys.link(key))
                values = await pipe.execute()
            for key, value in zip(of_one_master, values, strict=True):
                if value is not None:
                    with contextlib.suppress(LinksUnavailableError):
                        self._cache.store(_read_record(key, value))

    async def _read_domains(self, marker: bytes | None) -> dict[str, bytes]:
        """Read every custom domain from a server that `marker`, of the first group, vouches for.

        Raises RedisError when another one answers by now.
        """
        async with (
            self._follower.at(redis_keys.domains()) as redis,
            redis.pipeline(transaction=False) as pipe,
        ):
            pipe.hgetall(redis_keys.domains())
            pipe.get(redis_keys.links_ready(0))
            pipe.execute_command(ASK_HISTORY)
            values, present, answer = await pipe.execute()
        if present != marker or not is_marker_of(marker, read_history(answer)):
            raise RedisError("custom domains were asked of a server that has lost links meanwhile")
        return {domain.decode(): value for domain, value in values.items()}

    async def _refresh_domains(self, domains: list[str]) -> None:
        async with self._follower.at(redis_keys.domains()) as redis:
            values: Any = await redis.hmget(redis_keys.domains(), domains)
        for domain, value in zip(domains, values, strict=True):
            if value is not None:
                self._cache.domains.put(domain, value)

    async def aclose(self) -> None:
        """Close both connections."""
        await self._redis.aclose()
        await self._follower.aclose()


async def _split(shards: RedisShards, keys: Iterable[str]) -> list[list[str]]:
    """Sort keys by the master that holds their links."""
    by_name = {redis_keys.link(key): key for key in keys}
    return [[by_name[name] for name in names] for names in await shards.split(by_name)]


def _read_record(key: str, value: bytes) -> LinkRecord:
    try:
        return decode_link(value)
    except BadLinkError as error:
        log.exception("link_record_unreadable", key=key)
        raise LinksUnavailableError("the link's record cannot be read") from error


def _entry_order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _dash, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
