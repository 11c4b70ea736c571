"""The log of one process: appended to by the process itself, kept small by its supervisor."""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 8 * 1024 * 1024
"""Two files of this size at most are kept per process: the log and the one before it."""

ALARMS_PER_READ: Final = 3
"""Lines shown at a time; the rest can be read in the file."""

_ALARM = re.compile(
    rb"""\[(?:error|critical)\ *\]|"level":\ ?"(?:error|critical)"  # our processes
    |^Traceback\                                                  # anything in Python
    |\[ERROR\]                                                    # the HTTP server
    |PANIC:|FATAL:\ \ (?!the\ database\ system\ is|terminating)    # Postgres, but for "starting up"
    """,
    re.VERBOSE,
)
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


class Log(Protocol):
    """Where a process writes."""

    def open(self) -> IO[bytes]:
        """Open the log for the process that writes it. Raises OSError."""

    def tail(self, lines: int = 15) -> str:
        """Give the last lines, or say where they are."""

    def read_alarms(self) -> list[str]:
        """Give the lines added since the last call that speak of errors."""


class OurOutput:
    """The standard output of the supervisor itself: whoever reads that sees what the processes write."""

    def open(self) -> IO[bytes]:
        """Give it once more."""
        return os.fdopen(os.dup(1), "wb", buffering=0)

    def tail(self, lines: int = 15) -> str:
        """Say where the last lines are."""
        return f"Its last {lines} lines or fewer, above, say why."

    def read_alarms(self) -> list[str]:
        """Nothing: they have been seen."""
        return []


class LogFile:
    """A log that its process writes through a descriptor opened for appending."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = path.stat().st_size if path.exists() else 0

    def open(self) -> IO[bytes]:
        """Open the log for the process that writes it."""
        return self._path.open("ab")

    def tail(self, lines: int = 15) -> str:
        """Give the last lines and where the rest is."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - 16_384))
            last = _COLOUR.sub(b"", file.read()).decode(errors="replace").splitlines()[-lines:]
        return "\n".join([f"Last lines of {self._path}:", *(f"  {line}" for line in last)])

    def read_alarms(self) -> list[str]:
        """Give the lines added since the last call that speak of errors; rotate a log grown large."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            file.seek(self._read_bytes if self._read_bytes <= size else 0)
            added = file.read(MAX_BYTES)
        complete = added[: added.rfind(b"\n") + 1]
        self._read_bytes = min(self._read_bytes, size) + len(complete)
        if size > MAX_BYTES:
            self._rotate()
        alarms = [line for line in complete.splitlines() if _ALARM.search(line)]
        shown = [_COLOUR.sub(b"", line).decode(errors="replace").strip() for line in alarms[:ALARMS_PER_READ]]
        if len(alarms) > ALARMS_PER_READ:
            shown.append(f"… and {len(alarms) - ALARMS_PER_READ} more such lines in {self._path}")
        return shown

    def _rotate(self) -> None:
        """Keep what there is as <name>.log.1 and empty the log, which its process goes on writing."""
        self._path.with_name(self._path.name + ".1").write_bytes(self._path.read_bytes())
        with self._path.open("rb+") as file:
            file.truncate(0)
        self._read_bytes = 0
