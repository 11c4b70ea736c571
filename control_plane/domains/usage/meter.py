"""Count API calls, active users and uses of API keys in memory, and write the counts in batches.

A process that is killed loses what it counted since its last batch, a second's worth. Nothing is
counted twice: each batch has a number, and the transaction that writes it notes the number; a batch
whose commit was not confirmed is sent again under the same one. Memory is bounded: while Postgres is
away, counts go on for the tenants, users and keys that are known; beyond MOST_KEYS, new ones are left
out, and their number is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from control_plane.core.ids import new_id
from control_plane.db.pool import enter_system
from control_plane.domains.usage import store
from control_plane.domains.usage.model import UsageBatch

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator
    from datetime import datetime

    from control_plane.core.clock import Clock
    from control_plane.db.pool import Pool
    from control_plane.domains.usage.model import ActivityKey, CallKey, KeyUse

FLUSH_INTERVAL_S: Final = 1.0
ACQUIRE_TIMEOUT_S: Final = 5.0

MOST_KEYS: Final = 50_000
"""Tenants, users, and keys, that are counted between two batches: some 10 MB."""

NOTE_AGAIN: Final = timedelta(minutes=5)
"""How exact a user's last activity is: a row of `users` per request would be too many."""

WRITER_GONE: Final = timedelta(days=1)
"""No batch is sent again so late, so its number need not be remembered."""

_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log = structlog.get_logger(__name__)


class UsageMeter:
    """Counts for one process."""

    def __init__(self, pool: Pool, clock: Clock, *, most_keys: int = MOST_KEYS) -> None:
        self._pool = pool
        self._clock = clock
        self._most_keys = most_keys
        self._writer = new_id()
        self._sequence = 0
        self._calls: dict[CallKey, int] = {}
        self._active: dict[ActivityKey, datetime] = {}
        self._key_uses: dict[KeyUse, tuple[int, datetime]] = {}
        self._noted: dict[ActivityKey, datetime] = {}
        self._unconfirmed: UsageBatch | None = None
        self._left_out = 0
        self._flushing = asyncio.Lock()

    def count_call(self, tenant_id: uuid.UUID, user_id: uuid.UUID | None, now: datetime) -> None:
        """Count a request whose caller was let in. `user_id`: None for one that no person made."""
        day = now.astimezone(UTC).date()
        self._add_call((tenant_id, day))
        if user_id is not None:
            self._note_activity((tenant_id, user_id, day), now)

    def count_key_use(self, tenant_id: uuid.UUID, key_id: uuid.UUID, now: datetime) -> None:
        """Count a use of an API key that was let in."""
        key = tenant_id, key_id
        if key in self._key_uses:
            uses, moment = self._key_uses[key]
            self._key_uses[key] = uses + 1, max(moment, now)
        elif len(self._key_uses) < self._most_keys:
            self._key_uses[key] = 1, now
        else:
            self._left_out += 1

    async def flush(self) -> None:
        """Write what was counted. What cannot be written stays for the next time; raises why."""
        async with self._flushing:
            while (batch := self._unconfirmed or self._take()) is not None:
                self._unconfirmed = batch
                await self._write(batch)
                self._unconfirmed = None
        if self._left_out:
            _log.warning("usage_left_out", count=self._left_out, most_keys=self._most_keys)
            self._left_out = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush again and again, and once more at the end."""
        stop = asyncio.Event()
        flushing = asyncio.create_task(self._keep_flushing(stop))
        try:
            yield
        finally:
            stop.set()
            await flushing

    async def _keep_flushing(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), FLUSH_INTERVAL_S)
            try:
                await self.flush()
            except _AWAY as error:
                _log.warning("usage_not_written", error=repr(error))

    def _add_call(self, key: CallKey) -> None:
        if key in self._calls:
            self._calls[key] += 1
        elif len(self._calls) < self._most_keys:
            self._calls[key] = 1
        else:
            self._left_out += 1

    def _note_activity(self, key: ActivityKey, now: datetime) -> None:
        noted = self._noted.get(key)
        if noted is not None and now - noted < NOTE_AGAIN:
            return
        if key not in self._active and len(self._active) >= self._most_keys:
            self._left_out += 1
            return
        self._active[key] = now
        if len(self._noted) >= self._most_keys:
            # To note somebody twice does no harm.
            self._noted.clear()
        self._noted[key] = now

    def _take(self) -> UsageBatch | None:
        if not self._calls and not self._active and not self._key_uses:
            return None
        self._sequence += 1
        batch = UsageBatch(
            sequence=self._sequence, calls=self._calls, active=self._active, key_uses=self._key_uses
        )
        self._calls, self._active, self._key_uses = {}, {}, {}
        return batch

    async def _write(self, batch: UsageBatch) -> None:
        now = self._clock()
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, db.transaction():
            await enter_system(db)
            if await store.claim_batch(db, self._writer, batch.sequence, now):
                await store.add_batch(db, batch)
            if batch.sequence == 1:
                await store.forget_writers(db, now - WRITER_GONE)
