"""The journals of one host: one folder, one journal per worker, alive or dead.

A worker opens a journal of its own and takes over those of dead workers. A journal whose events
have all landed is retired: its counters are added to `totals`, then its folder goes. So the sums
over `totals` and the living journals never fall, whoever dies when.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import shutil
import time
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec
import structlog
import uuid_utils

from edge.counters import OLDEST_UNLANDED_MS, Counter, Counters
from edge.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = structlog.get_logger()

_DOOMED = ".doomed"
"""Suffix of a retired journal's folder while it is being deleted."""
_ROOM_TTL_S = 0.1
"""How long a "no room" is believed before the folder is measured again."""


_FULL_FOR_S = 5.0
"""How long after a click that found no room the journals are said to be full."""


class _Totals(msgspec.Struct):
    """Counters of retired journals. `last` was added last; its folder may still be there."""

    last: str = ""
    values: list[int] = msgspec.field(default_factory=lambda: [0] * len(Counter))

    def add(self, counted: list[int]) -> None:
        """Add a journal's counters; a version with more or fewer of them may have written ours."""
        self.values = [a + b for a, b in zip_longest(self.values, counted, fillvalue=0)]


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
        self._full_until = -math.inf
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
            try:
                journal = Journal.adopt(folder)
            except FileNotFoundError:  # another worker retired it just now
                continue
            except OSError as error:
                log.warning("journal_not_adopted", journal=folder.name, error=str(error))
                continue
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
        self.refuse_for_now()
        return False

    def refuse_for_now(self) -> None:
        """Say for a moment that there is no room, without looking."""
        self._full_until = time.monotonic() + _ROOM_TTL_S

    @property
    def is_full(self) -> bool:
        """Whether a click found no room in the last seconds."""
        return time.monotonic() < self._full_until + _FULL_FOR_S

    def retire(self, journal: Journal) -> None:
        """Add up and delete a journal whose events have all landed. Raises OSError."""
        with self._totals_lock(fcntl.LOCK_EX):
            # Gone when another worker found it added up already, and deleted it.
            if journal.folder.exists():
                totals = self._read_totals()
                if totals.last != journal.journal_id:
                    if totals.last:
                        self._delete(totals.last)
                    totals.add(journal.counters.snapshot())
                    totals.last = journal.journal_id
                    self._write_totals(totals)
                self._delete(journal.journal_id)
        journal.close()

    def _delete(self, journal_id: str) -> None:
        """Delete a journal's folder, if there is one, in a step that others see whole or not at all."""
        doomed = self._folder / f"{journal_id}{_DOOMED}"
        with contextlib.suppress(FileNotFoundError):
            (self._folder / journal_id).rename(doomed)
        for folder in self._folder.glob(f"*{_DOOMED}"):
            shutil.rmtree(folder, ignore_errors=True)

    def read_state(self) -> SpoolState:
        """Sum up every journal of this host, the retired ones included."""
        with self._totals_lock(fcntl.LOCK_SH):
            totals = self._read_totals()
            oldest = journals = 0
            for folder in self._journal_folders():
                if folder.name == totals.last:
                    continue
                try:
                    counters = Counters(folder / "counters")
                except OSError:  # half made: its owner found the disk full, and lets it go
                    continue
                totals.add(counters.snapshot())
                since = counters.values[OLDEST_UNLANDED_MS]
                oldest = min(oldest or since, since or oldest)
                counters.close()
                journals += 1
        return SpoolState(totals.values, journals, self._used_bytes(), oldest)

    def _journal_folders(self) -> list[Path]:
        return sorted(
            path for path in self._folder.iterdir() if path.suffix != _DOOMED and (path / "counters").exists()
        )

    def _used_bytes(self) -> int:
        return sum(_size_of_segments(folder) for folder in self._journal_folders())

    def _read_totals(self) -> _Totals:
        try:
            totals = msgspec.json.decode((self._folder / "totals").read_bytes(), type=_Totals)
        except FileNotFoundError:
            return _Totals()
        except msgspec.DecodeError as error:
            log.error("journal_totals_unreadable", error=str(error))  # noqa: TRY400  the error says it all
            return _Totals()
        totals.add([0] * len(Counter))
        return totals

    def _write_totals(self, totals: _Totals) -> None:
        draft = self._folder / "totals.new"
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(totals))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / "totals")

    @contextlib.contextmanager
    def _totals_lock(self, mode: int) -> Iterator[None]:
        descriptor = os.open(self._folder / "totals.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)


def _size_of_segments(folder: Path) -> int:
    size = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:  # retired meanwhile
        for entry in entries:
            if entry.name.endswith(".seg"):
                with contextlib.suppress(FileNotFoundError):  # landed and deleted meanwhile
                    size += entry.stat().st_size
    return size
