"""Data keys in Postgres, each sealed with the master key (core/sealing.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.core.sealing import (
    KEY_BYTES,
    KeyUnknown,
    SealBroken,
    Sealer,
    read_master_key,
    unwrap_key,
    wrap_key,
)
from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.core.clock import Clock
    from control_plane.db.pool import Connection, Pool

_queries = load_queries(Path(__file__).with_name("data_keys.sql"))


class SealerSource:
    """Gives the process its Sealer, loaded when first asked for. `now`: the clock.

    `previous`: the master key before this one, while it is being replaced.
    """

    def __init__(self, pool: Pool, master_key: bytes, now: Clock, previous: bytes | None = None) -> None:
        self._pool = pool
        self._master_key = master_key
        self._previous = previous
        self._now = now
        self._sealer: Sealer | None = None

    @classmethod
    def read(cls, pool: Pool, master_key: str, previous_master_key: str, now: Clock) -> SealerSource:
        """Make one of the texts of settings; `previous_master_key` is "" unless one is being replaced."""
        previous = read_master_key(previous_master_key) if previous_master_key else None
        return cls(pool, read_master_key(master_key), now, previous)

    async def load(self) -> Sealer:
        """Give the sealer. Raises SealBroken when the master key is another one."""
        if self._sealer is None:
            await self._reload()
        assert self._sealer is not None
        return self._sealer

    async def open(self, sealed: bytes, context: str) -> bytes:
        """Open a value that may be sealed with a key newer than this process knows. Raises SealBroken."""
        try:
            return (await self.load()).open(sealed, context)
        except KeyUnknown:
            return (await self._reload()).open(sealed, context)

    async def seal(self, plaintext: bytes, context: str) -> bytes:
        """Seal a value for its place."""
        return (await self.load()).seal(plaintext, context)

    async def _reload(self) -> Sealer:
        async with self._pool.acquire() as db:
            self._sealer = await load_sealer(db, self._master_key, self._now(), self._previous)
        return self._sealer


async def load_sealer(
    db: Connection, master_key: bytes, now: datetime, previous: bytes | None = None
) -> Sealer:
    """Load the data keys; make the first one where there is none. Raises SealBroken."""
    keys = await _read_keys(db, master_key, previous)
    if not keys:
        await add_key(db, master_key, version=1, now=now)
        keys = await _read_keys(db, master_key, previous)
    return Sealer(keys)


async def add_key(db: Connection, master_key: bytes, *, version: int, now: datetime) -> None:
    """Add a data key, unless another process has just added that version."""
    wrapped = wrap_key(os.urandom(KEY_BYTES), master_key, version)
    await _queries.insert_key(db, version=version, wrapped_key=wrapped, now=now)


async def rewrap_keys(db: Connection, master_key: bytes, previous: bytes | None) -> None:
    """Seal every data key with this master key, also those that the previous one seals."""
    for version, key in (await _read_keys(db, master_key, previous)).items():
        wrapped = wrap_key(key, master_key, version)
        await _queries.replace_key(db, version=version, wrapped_key=wrapped)


async def _read_keys(db: Connection, master_key: bytes, previous: bytes | None) -> dict[int, bytes]:
    rows = _queries.list_keys(db)
    return {version: _unwrap(wrapped, version, master_key, previous) async for version, wrapped in rows}


def _unwrap(wrapped: bytes, version: int, master_key: bytes, previous: bytes | None) -> bytes:
    """Open a data key with whichever master key seals it. Raises SealBroken."""
    try:
        return unwrap_key(wrapped, master_key, version)
    except SealBroken:
        if previous is None:
            raise
        return unwrap_key(wrapped, previous, version)
