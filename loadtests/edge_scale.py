"""What a whole request costs with ever more links, and over ever more connections.

Links are visited by Zipf's law, with ranks spread over the order in which they were made. Before a
timed run every one of them was visited once, so the edge has them in memory, and the mix itself has
been running for a second.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from redis import Redis

from loadtests.bench_stack import await_landed, paused, read_cpu_seconds
from loadtests.link_records import draw_by_popularity, make_slug, seed_links
from loadtests.load_generators import Target, apply_load
from loadtests.measurements import EDGE, VALKEY, ScalePoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deploy.data_folder import Ready
    from loadtests.load_client import LoadResult

DRAWS: Final = 500_000
"""More than are visited in one timed run."""
SOCKETS: Final = 16
PIPELINED: Final = 50
"""Requests on their way at a time: few enough that the edge refuses none."""
VISITS_PER_CONNECTION: Final = 10_000
"""Fewer than the edge closes a connection after."""
ATTEMPTS, PAUSE_S, ANSWER_S = 20, 0.5, 30.0


class ScaleRun(msgspec.Struct, frozen=True):
    """How a point is measured. `flusher`: its pid; it waits during timed runs."""

    seconds: int
    rounds: int
    connections: int
    flusher: int


def measure_by_connections(target: Target, run: ScaleRun, counts: Sequence[int]) -> list[ScalePoint]:
    """Measure the edge over each number of connections."""
    return [
        _measure_point(target, msgspec.structs.replace(run, connections=count), count, "connections")
        for count in counts
    ]


def measure_by_links(
    ready: Ready, target: Target, run: ScaleRun, counts: Sequence[int]
) -> tuple[list[ScalePoint], dict[str, float]]:
    """Measure the edge with each number of links, which must grow; and what a first visit costs.

    The second result is the processor time of edge and Valkey per link that had to be fetched, in
    microseconds, over the last step.
    """
    points, miss_us, chance, loaded = [], dict[str, float](), random.Random(7), 0  # noqa: S311  the same links
    valkey = ready.processes["valkey"]
    with contextlib.closing(Redis.from_url(ready.redis_url)) as redis, _writing_slugs() as file:
        for count in counts:
            seed_links(redis, range(loaded, count), chance)
            before = read_cpu_seconds(target.pid), read_cpu_seconds(valkey)
            _visit_once(ready.edge_url, [make_slug(number) for number in range(loaded, count)])
            after = read_cpu_seconds(target.pid), read_cpu_seconds(valkey)
            miss_us = {
                part: (then - now) * 1e6 / (count - loaded)
                for part, now, then in zip((EDGE, VALKEY), before, after, strict=True)
            }
            loaded = count
            ranked = [make_slug(number) for number in range(count)]
            chance.shuffle(ranked)
            file.write_text("\n".join(draw_by_popularity(ranked, DRAWS, chance)))
            visited = msgspec.structs.replace(target, slugs=file)
            points.append(_measure_point(visited, run, count, "links"))
    return points, miss_us


def _measure_point(target: Target, run: ScaleRun, count: int, what: str) -> ScalePoint:
    edge_url = f"http://{urlsplit(target.url).netloc}"
    results: list[LoadResult] = []
    for _ in range(run.rounds):
        with paused(run.flusher):
            results.append(apply_load(target, seconds=run.seconds, connections=run.connections))
        await_landed(edge_url)
    if set().union(*(one.statuses for one in results)) != {"302"}:
        raise RuntimeError(f"{count} {what}: answers were {[one.statuses for one in results]}")
    point = ScalePoint(
        count,
        median(one.per_second for one in results),
        median(one.p50_ms for one in results),
        median(one.p99_ms for one in results),
        median(one.cpu_us for one in results),
    )
    sys.stdout.write(f"{count:>9,} {what}: {point.per_second:>9,.0f}/s, {point.cpu_us:.1f} µs of processor\n")
    sys.stdout.flush()
    return point


@contextlib.contextmanager
def _writing_slugs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="switchyard-slugs-") as home:
        yield Path(home) / "slugs"


def _visit_once(edge_url: str, slugs: list[str]) -> None:
    """Have the edge fetch links into memory: HEAD, which is no click, many at a time."""
    for first in range(0, len(slugs), VISITS_PER_CONNECTION * SOCKETS):
        with contextlib.ExitStack() as opened:
            parts = urlsplit(edge_url)
            sockets = [
                opened.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S))
                for _ in range(SOCKETS)
            ]
            some = slugs[first : first + VISITS_PER_CONNECTION * SOCKETS]
            for begin in range(0, len(some), SOCKETS * PIPELINED):
                _visit_batch(sockets, some[begin : begin + SOCKETS * PIPELINED])


def _visit_batch(sockets: list[socket.socket], slugs: list[str]) -> None:
    """Visit links until the edge has redirected for each: it may say "not now" (503) to so many at once."""
    for _ in range(ATTEMPTS):
        shares = [slugs[number :: len(sockets)] for number in range(len(sockets))]
        for connection, share in zip(sockets, shares, strict=True):
            heads = "".join(f"HEAD /{slug} HTTP/1.1\r\nHost: bench\r\n\r\n" for slug in share)
            connection.sendall(heads.encode())
        answers = [_read_statuses(*pair) for pair in zip(sockets, map(len, shares), strict=True)]
        if set().union(*answers) <= {b"302"}:
            return
        time.sleep(PAUSE_S)
    raise RuntimeError(f"seeded links were answered with {set().union(*answers)}")


def _read_statuses(connection: socket.socket, count: int) -> set[bytes]:
    """Read so many answers to HEAD; give their statuses."""
    received = b""
    while received.count(b"\r\n\r\n") < count:
        data = connection.recv(65_536)
        if not data:
            raise RuntimeError("the edge closed a connection on which links were asked for")
        received += data
    return set(re.findall(rb"HTTP/1\.1 (\d+)", received))
