"""One edge worker, put together: everything but the server in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import uuid_utils

from edge.directory import Directory
from edge.geo import CountryLookup
from edge.handler import JOURNAL_FULL, Handler
from edge.intake.service import Intake
from edge.intake.tag import Tag
from edge.link_cache import LinkCache
from edge.link_feed import LinkFeed
from edge.request import RESERVED, ProxyTrust
from edge.settings import snapshot_path
from edge.shipper import Shipper
from edge.snapshot import SnapshotKeeper
from edge.spool import Spool
from edge.status import Status
from edge.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from edge.request import EdgeRequest, EdgeResponse
    from edge.settings import Settings

log = structlog.get_logger()

DRAIN_S: Final = 5.0
"""How long a worker that stops waits for its journal to land."""
SNAPSHOT_S: Final = 3.0
"""How long it may take to write the links to the disk then."""
STOP_S: Final = 25.0
"""When a worker that was asked to stop ends whatever it waits for: longer than requests in flight, the
journal and the snapshot may take together, shorter than the 30 s after which supervisors kill."""
RESTART_S: Final = 1.0
MEBI: Final = 1024 * 1024


class Worker:
    """Owns a journal and the tasks around it. Create it inside the running event loop."""

    def __init__(self, settings: Settings) -> None:
        # What a setting can make fail comes before the journal: a worker that cannot start leaves none.
        countries = CountryLookup(database=settings.geo_database, header=settings.country_header)
        trust = ProxyTrust(settings.trusted_proxies)
        cache = LinkCache(size=settings.link_cache_size, unknown_ttl_s=settings.unknown_link_ttl_s)
        self._feed = LinkFeed(settings.redis_url, cache)
        self._snapshot = SnapshotKeeper(
            snapshot_path(settings), cache=cache, feed=self._feed, interval_s=settings.snapshot_s
        )
        spool = Spool(
            Path(settings.journal_dir),
            segment_bytes=settings.journal_segment_mb * MEBI,
            budget_bytes=settings.journal_budget_mb * MEBI,
        )
        self._settings = settings
        self._journal = spool.open_journal()
        self._shipper = Shipper(
            spool=spool,
            journal=self._journal,
            redis_url=settings.redis_url,
            interval_s=settings.ship_ms / 1000,
            window_bytes=settings.ship_window_mb * MEBI,
            partitions=settings.event_partitions,
        )
        self._directory = Directory(settings.redis_url)
        self._waits_for_disk = settings.journal_sync == "always"
        self._intake = Intake(
            directory=self._directory,
            journal=self._journal,
            visitors=Visitors(countries, trust),
            tag=Tag(),
            new_id=_new_id,
            now_ms=_now_ms,
            wait_for_disk=self._next_sync if self._waits_for_disk else None,
        )
        self._handler = Handler(
            cache=cache,
            feed=self._feed,
            journal=self._journal,
            countries=countries,
            trust=trust,
            cookie_max_age_s=settings.cookie_max_age_s,
            fingerprint_seed=_seed(settings.fingerprint_secret),
            new_id=_new_id,
            draw=random.random,
            answer_reserved=self._intake.answer,
        )
        self._status = Status(
            spool=spool, cache=cache, feed=self._feed, shipper=self._shipper, snapshot=self._snapshot
        )
        self._synced: asyncio.Future[bool] | None = None
        self.answer: Callable[[EdgeRequest], EdgeResponse | None] = (
            _answer_nothing if self._waits_for_disk else self._handler.answer
        )
        """Answer at once; None when the answer has to be awaited (`answer_later`)."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start following the links and shipping the journal."""
        work = {
            "link feed": self._feed.follow,
            "link renewal": self._feed.keep_renewing,
            "snapshot": self._snapshot.keep,
            "shipping": self._shipper.keep_shipping,
            "adoption": self._shipper.keep_adopting,
        }
        if self._settings.journal_sync != "never":
            work["journal sync"] = self._keep_syncing
        self._tasks = [asyncio.create_task(_keep_running(name, task)) for name, task in work.items()]
        # What lives as long as the worker need not be looked at by every collection.
        gc.collect()
        gc.freeze()

    @property
    def is_ready(self) -> bool:
        """Tell whether links redirect."""
        return self._status.is_ready

    @property
    def has_read_snapshot(self) -> bool:
        """Tell whether the links of the last run are in memory, as far as they are needed."""
        return self._snapshot.is_read

    async def answer_later(self, request: EdgeRequest) -> EdgeResponse:
        """Answer a request that `answer` could not: a status page, a look-up, a disk to wait for."""
        if request.path.startswith(RESERVED):
            return await self._intake.answer_later(request) or self._status.answer(request.path)
        response = self._handler.answer(request)
        if response is None:
            response = await self._handler.load_and_answer(request)
        if self._waits_for_disk and not await self._next_sync():
            return JOURNAL_FULL
        return response

    async def _next_sync(self) -> bool:
        """Wait for a sync of the journal that begins after now. Tell whether the disk took it."""
        if self._synced is None:
            self._synced = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._synced)

    async def _keep_syncing(self) -> None:
        """Write the journal through to the disk: for waiting answers at once, else by interval."""
        pause_s = 0.001 if self._waits_for_disk else self._settings.journal_sync_ms / 1000
        while True:
            await asyncio.sleep(pause_s)
            waiting, self._synced = self._synced, None
            if waiting is not None or not self._waits_for_disk:
                is_on_disk = await self._sync()
                if waiting is not None:
                    waiting.set_result(is_on_disk)

    async def _sync(self) -> bool:
        try:
            await asyncio.to_thread(self._journal.sync)
        except OSError as error:
            log.error("journal_not_synced", error=str(error))  # noqa: TRY400  the error says it all
            return False
        return True

    async def stop(self) -> None:
        """Stop the tasks, ship what is left, let the journal go, and keep the links for the next start."""
        await end_tasks(self._tasks)
        await self._shipper.drain(DRAIN_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._snapshot.write(), SNAPSHOT_S)
        await self._feed.aclose()
        await self._directory.aclose()


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended.

    Again and again: asyncio.wait_for, which redis-py awaits its sockets with, can swallow a
    cancellation before Python 3.12.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _ended, running = await asyncio.wait(running, timeout=0.05)


def _answer_nothing(_request: EdgeRequest) -> None:
    """Leave every request to `answer_later`, which waits for the disk."""


def _new_id() -> uuid_utils.UUID:
    """Make a click's id from the clock as it stands.

    Without being told the time, uuid7 never goes back: once the clock has jumped ahead, if only for
    a moment, every later click would be dated by that.
    """
    return uuid_utils.uuid7(nanoseconds=time.time_ns())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _seed(secret: str) -> int:
    return int.from_bytes(hashlib.blake2b(secret.encode(), digest_size=8).digest(), "big")


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run a task that has no end, again when a fault that nobody foresaw ends it.

    Without the task the worker still redirects from memory and writes clicks down; without the
    worker, what it has in memory would be gone as well.
    """
    while True:
        try:
            await work()
        except Exception:
            log.exception("worker_task_failed", task=name)
            await asyncio.sleep(RESTART_S)
