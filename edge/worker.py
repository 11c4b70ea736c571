"""One edge worker, put together: everything but the server in front of it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import uuid_utils

from edge.geo import CountryLookup
from edge.handler import Handler
from edge.link_cache import LinkCache
from edge.link_feed import LinkFeed
from edge.request import ProxyTrust
from edge.shipper import Shipper
from edge.spool import Spool
from edge.status import PREFIX, Status

if TYPE_CHECKING:
    from edge.request import EdgeRequest, EdgeResponse
    from edge.settings import Settings

log = structlog.get_logger()

DRAIN_S: Final = 5.0
"""How long a worker that stops waits for its journal to land."""
MEBI: Final = 1024 * 1024


class Worker:
    """Owns a journal and the tasks around it. Create it inside the running event loop."""

    def __init__(self, settings: Settings) -> None:
        spool = Spool(
            Path(settings.journal_dir),
            segment_bytes=settings.journal_segment_mb * MEBI,
            budget_bytes=settings.journal_budget_mb * MEBI,
        )
        self._settings = settings
        self._journal = spool.open_journal()
        cache = LinkCache(size=settings.link_cache_size, unknown_ttl_s=settings.unknown_link_ttl_s)
        self._feed = LinkFeed(settings.redis_url, cache)
        self._shipper = Shipper(
            spool=spool,
            journal=self._journal,
            redis_url=settings.redis_url,
            interval_s=settings.ship_ms / 1000,
            window_bytes=settings.ship_window_mb * MEBI,
        )
        self._handler = Handler(
            cache=cache,
            feed=self._feed,
            journal=self._journal,
            countries=CountryLookup(database=settings.geo_database, header=settings.country_header),
            trust=ProxyTrust(settings.trusted_proxies),
            cookie_max_age_s=settings.cookie_max_age_s,
            fingerprint_seed=_seed(settings.fingerprint_secret),
            new_id=uuid_utils.uuid7,
            draw=random.random,
        )
        self._status = Status(spool=spool, cache=cache, feed=self._feed, shipper=self._shipper)
        self._synced: asyncio.Future[None] | None = None
        self._waits_for_disk = settings.journal_sync == "always"
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start following the links and shipping the journal."""
        self._tasks = [
            asyncio.create_task(self._feed.follow(), name="link feed"),
            asyncio.create_task(self._shipper.run(), name="shipper"),
        ]
        if self._settings.journal_sync != "never":
            self._tasks.append(asyncio.create_task(self._keep_syncing(), name="journal sync"))
        for task in self._tasks:
            task.add_done_callback(_stop_if_broken)
        # What lives as long as the worker need not be looked at by every collection.
        gc.collect()
        gc.freeze()

    def answer(self, request: EdgeRequest) -> EdgeResponse | None:
        """Answer at once; None when the answer has to be awaited (`answer_later`)."""
        if self._waits_for_disk or request.path.startswith(PREFIX):
            return None
        return self._handler.answer(request)

    async def answer_later(self, request: EdgeRequest) -> EdgeResponse:
        """Answer a request that `answer` could not: a status page, a link to load, a disk to wait for."""
        if request.path.startswith(PREFIX):
            return self._status.answer(request.path)
        response = self._handler.answer(request)
        if response is None:
            response = await self._handler.load_and_answer(request)
        if self._waits_for_disk:
            await self._next_sync()
        return response

    async def _next_sync(self) -> None:
        """Wait for a sync of the journal that begins after now."""
        if self._synced is None:
            self._synced = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._synced)

    async def _keep_syncing(self) -> None:
        """Write the journal through to the disk: for waiting answers at once, else by interval."""
        pause_s = 0.001 if self._waits_for_disk else self._settings.journal_sync_ms / 1000
        while True:
            await asyncio.sleep(pause_s)
            waiting, self._synced = self._synced, None
            if waiting is not None or not self._waits_for_disk:
                await asyncio.to_thread(self._journal.sync)
            if waiting is not None:
                waiting.set_result(None)

    async def stop(self) -> None:
        """Stop the tasks, ship what is left, and let the journal go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shipper.drain(DRAIN_S)
        await self._feed.aclose()


def _seed(secret: str) -> int:
    return int.from_bytes(hashlib.blake2b(secret.encode(), digest_size=8).digest(), "big")


def _stop_if_broken(task: asyncio.Task[None]) -> None:
    """End the worker when it no longer ships or follows links; its supervisor starts another."""
    if not task.cancelled() and task.exception() is not None:
        log.error("worker_task_died", task=task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
