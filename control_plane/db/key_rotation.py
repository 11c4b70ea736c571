"""Replace the key that seals secrets, and seal anew what is stored, while the API goes on.

A process that meets a value of the new key loads it. Old data keys stay, so that nothing that was sealed
a moment ago by a process that does not know the new one is lost; a further rotation takes it along.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.sealing import SealBroken
from control_plane.db.data_keys import add_key, load_sealer, rewrap_keys

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.core.sealing import Sealer
    from control_plane.db.pool import Connection

BATCH_SIZE: Final = 500


class SealedColumn(msgspec.Struct, frozen=True):
    """A column with sealed values. `context`: what they are sealed for, with the row's key in it.

    `key`: the row's key. `before`: a key that comes before every other.
    """

    table: str
    column: str
    key: tuple[str, ...]
    before: tuple[object, ...]
    context: str

    @property
    def select(self) -> str:
        """Read the next batch: $1 the new version, $2 the key to begin after."""
        key = ", ".join(self.key)
        return (
            f"SELECT {key}, {self.column} AS sealed FROM {self.table}"  # noqa: S608  names from SEALED
            f" WHERE {self.column} IS NOT NULL AND ({key}) > ({self._arguments(2)})"
            f" AND get_byte({self.column}, 0) * 256 + get_byte({self.column}, 1) < $1"
            f" ORDER BY {key} LIMIT {BATCH_SIZE} FOR UPDATE"
        )

    @property
    def update(self) -> str:
        """Write a value: $1 the new one, then the key."""
        return (
            f"UPDATE {self.table} SET {self.column} = $1"  # noqa: S608  names from SEALED
            f" WHERE ({', '.join(self.key)}) = ({self._arguments(2)})"
        )

    def _arguments(self, first: int) -> str:
        return ", ".join(f"${number}" for number in range(first, first + len(self.key)))


NO_ID: Final = uuid.UUID(int=0)

SEALED: Final = (
    SealedColumn("mfa_factors", "secret", ("tenant_id", "id"), (NO_ID, NO_ID), "mfa_factors.secret:{id}"),
    SealedColumn("vapid_key", "private_key", ("id",), (0,), "vapid_key.private_key"),
)
"""Every column whose values outlive the moment; jobs and sign-ins under way are left to the old key."""


class Rotation(msgspec.Struct, frozen=True):
    """What was done. `broken`: places of values that did not open, and were left as they are."""

    version: int
    resealed: int
    broken: list[str]


async def rotate_keys(
    db: Connection, master_key: bytes, *, previous_master_key: bytes | None, now: datetime
) -> Rotation:
    """Add a data key and seal every stored secret with it, in batches. Safe to repeat.

    `previous_master_key`: seals the data keys until now; None when the master key stays.
    Raises SealBroken when neither master key opens a data key.
    """
    async with db.transaction():
        await rewrap_keys(db, master_key, previous_master_key)
    newest = (await load_sealer(db, master_key, now)).version
    await add_key(db, master_key, version=newest + 1, now=now)
    sealer = await load_sealer(db, master_key, now)
    resealed, broken = 0, []
    for column in SEALED:
        done, left = await _reseal(db, column, sealer)
        resealed += done
        broken += left
    return Rotation(sealer.version, resealed, broken)


async def _reseal(db: Connection, column: SealedColumn, sealer: Sealer) -> tuple[int, list[str]]:
    """Seal a column anew: (how many values, the places of those that did not open)."""
    done = 0
    broken: list[str] = []
    last: list[object] = list(column.before)
    while True:
        async with db.transaction():
            rows = await db.fetch(column.select, sealer.version, *last)
            if not rows:
                return done, broken
            for row in rows:
                last = [row[name] for name in column.key]
                context = column.context.format_map(dict(row))
                try:
                    value = sealer.seal(sealer.open(row["sealed"], context), context)
                except SealBroken:
                    broken.append(context)
                    continue
                await db.execute(column.update, value, *last)
                done += 1
