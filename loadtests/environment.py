"""Where a benchmark ran: what a reader needs to compare figures."""

from __future__ import annotations

import os
import platform
import subprocess
import timeit
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec


class Environment(msgspec.Struct, frozen=True):
    """One machine at one time."""

    measured_at: str
    commit: str
    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    python_loop_ns: float
    """A turn of a fixed loop of plain Python: builds of one version differ by a factor of almost two."""
    versions: dict[str, str]


def read_environment() -> Environment:
    """Describe this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Environment(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_read_commit(),
        processor=_read_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        python_loop_ns=round(_time_python_loop(), 1),
        versions={name: version(name) for name in ("granian", "uvloop", "asyncpg", "redis", "msgspec")},
    )


def _time_python_loop() -> float:
    loop = "total += number; table[number & 63] = total; pair = (total, number); text = str(number)"
    turns = 100_000
    timer = timeit.Timer(f"for number in range({turns}): {loop}", "total, table = 0, {}")
    return min(timer.repeat(7, 1)) / turns * 1e9


def _read_commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607  git is where PATH says
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _read_processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
