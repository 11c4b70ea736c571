"""Puts a server under load from another core: wrk for maxima, our own client at a fixed rate."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from loadtests.bench_stack import CHECKOUT, OTHER_CORES, read_cpu_seconds, start_pinned
from loadtests.load_client import REQUEST_HEADERS, LoadResult

WARMUP_S: Final = 1


class Target(msgspec.Struct, frozen=True):
    """What is put under load. `pid`: the server's; its children count as the server too.

    `is_bare`: send no headers but Host. `slugs`: a file with a slug a line; these are visited in turn
    instead of the URL's path.
    """

    url: str
    pid: int
    is_bare: bool = False
    slugs: Path | None = None


def load_generator() -> str:
    """Name what makes the closed loops: wrk where it is installed, else our own client, which is slower."""
    return "wrk" if shutil.which("wrk") else "loadtests/load_client.py"


def apply_load(target: Target, *, seconds: int, connections: int) -> LoadResult:
    """Let connections ask again as soon as they are answered (closed loop), after a warm-up of the same."""
    describe = _describe_wrk if load_generator() == "wrk" else _describe_client
    _run(describe(target, connections, WARMUP_S), WARMUP_S)
    before = read_cpu_seconds(target.pid)
    result = _run(describe(target, connections, seconds), seconds)
    cpu_seconds = read_cpu_seconds(target.pid) - before
    return msgspec.structs.replace(result, cpu_us=cpu_seconds * 1e6 / max(1, result.requests))


def apply_rate(target: Target, *, rate: float, seconds: int, connections: int) -> LoadResult:
    """Ask at a fixed rate, whatever is answered (open loop)."""
    command = _describe_client(target, connections, seconds)
    return _run([*command, "--rate", str(rate), "--warmup", str(WARMUP_S)], seconds)


def _describe_wrk(target: Target, connections: int, seconds: int) -> list[str]:
    script = str(CHECKOUT / "loadtests" / "wrk_report.lua")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, target.url, "--"]
    command += [f"slugs={target.slugs}"] if target.slugs else []
    return command if target.is_bare else command + REQUEST_HEADERS.strip().split("\r\n")


def _describe_client(target: Target, connections: int, seconds: int) -> list[str]:
    command = [sys.executable, "-m", "loadtests.load_client", target.url, "--seconds", str(seconds)]
    command += ["--connections", str(connections), "--warmup", "0"]
    command += ["--slugs", str(target.slugs)] if target.slugs else []
    return [*command, "--bare"] if target.is_bare else command


def _run(command: list[str], seconds: int) -> LoadResult:
    client = start_pinned(command, OTHER_CORES, stdout=subprocess.PIPE)
    output, _nothing = client.communicate(timeout=seconds + 30)
    if client.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {client.returncode}")
    return msgspec.json.decode(output.splitlines()[-1], type=LoadResult)
