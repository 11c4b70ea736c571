"""The journals of one host: one folder, one journal per worker, alive or dead.

A worker opens a journal of its own and takes over those of dead workers. A journal whose events
have all landed is retired: its counters are added to `totals`, then its folder goes. So the sums
over `totals` and the living journals never fall, whoever dies when.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from typing import TYPE_CHECKING

import msgspec
import uuid_utils

from edge.counters import OLDEST_UNLANDED_MS, Counter, Counters
from edge.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROOM_TTL_S = 0.1
"""How long a "no room" is believed before the folder is measured again."""


class _Totals(msgspec.Struct):
    """Counters of retired journals. `last` was added last; its folder may still be there."""

    last: str = ""
    values: list[int] = msgspec.field(default_factory=lambda: [0] * len(Counter))


class SpoolState(msgspec.Struct, frozen=True):
    """What the journals of this host hold. `values`: a sum for each Counter, in its order."""

    values: list[int]
    journals: int
    used_bytes: int
    oldest_unlanded_ms: int


class Spool:
    """The folder of journals. `budget_bytes` bounds what all of them may take."""

    def __init__(self, folder: Path, *, segment_bytes: int, budget_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self.budget_bytes = budget_bytes
        self._full_until = 0.0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open_journal(self) -> Journal:
        """Start this worker's journal."""
        return Journal.create(
            self._folder / uuid_utils.uuid7().hex, segment_bytes=self._segment_bytes, room=self
        )

    def adopt_dead(self) -> list[Journal]:
        """Take over every journal whose owner is dead. Reads them whole: run it in a thread."""
        adopted = []
        for folder in self._journal_folders():
            with contextlib.suppress(FileNotFoundError):  # another worker retired it just now
                journal = Journal.adopt(folder)
                if journal is not None:
                    adopted.append(journal)
        return adopted

    def allows(self, more_bytes: int) -> bool:
        """Tell whether the journals may grow by `more_bytes`."""
        now = time.monotonic()
        if now < self._full_until:
            return False
        if self._used_bytes() + more_bytes <= self.budget_bytes:
            return True
        self._full_until = now + _ROOM_TTL_S
        return False

    def retire(self, journal: Journal) -> None:
        """Add up and delete a journal whose events have all landed."""
        with self._totals_lock(fcntl.LOCK_EX):
            totals = self._read_totals()
            if totals.last and totals.last != journal.journal_id:
                shutil.rmtree(self._folder / totals.last, ignore_errors=True)
            if totals.last != journal.journal_id:
                counted = journal.counters.snapshot()
                totals.values = [a + b for a, b in zip(totals.values, counted, strict=True)]
                totals.last = journal.journal_id
                self._write_totals(totals)
            shutil.rmtree(journal.folder, ignore_errors=True)
        journal.close()

    def read_state(self) -> SpoolState:
        """Sum up every journal of this host, the retired ones included."""
        with self._totals_lock(fcntl.LOCK_SH):
            totals = self._read_totals()
            values, oldest, journals = list(totals.values), 0, 0
            for folder in self._journal_folders():
                if folder.name == totals.last:
                    continue
                counters = Counters(folder / "counters")
                values = [a + b for a, b in zip(values, counters.snapshot(), strict=True)]
                since = counters.values[OLDEST_UNLANDED_MS]
                oldest = min(oldest or since, since or oldest)
                counters.close()
                journals += 1
        return SpoolState(values, journals, self._used_bytes(), oldest)

    def _journal_folders(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if (path / "counters").exists())

    def _used_bytes(self) -> int:
        used = 0
        for path in self._folder.glob("*/*.seg"):
            with contextlib.suppress(FileNotFoundError):  # landed and deleted meanwhile
                used += path.stat().st_size
        return used

    def _read_totals(self) -> _Totals:
        try:
            totals = msgspec.json.decode((self._folder / "totals").read_bytes(), type=_Totals)
        except FileNotFoundError:
            return _Totals()
        # Written by an older version, before the newest counters existed.
        totals.values += [0] * (len(Counter) - len(totals.values))
        return totals

    def _write_totals(self, totals: _Totals) -> None:
        draft = self._folder / "totals.new"
        draft.write_bytes(msgspec.json.encode(totals))
        draft.replace(self._folder / "totals")

    @contextlib.contextmanager
    def _totals_lock(self, mode: int) -> Iterator[None]:
        descriptor = os.open(self._folder / "totals.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)
