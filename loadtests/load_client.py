"""An HTTP client for one URL, small enough to leave the server the slower one.

Closed loop: N connections, each asks again as soon as it is answered. Open loop (`--rate`): so many
requests a second whatever the answers do; a latency counts from the moment when the request was due,
so a server that stalls cannot hide it. Every answer is counted by its status.

    python -m loadtests.load_client http://127.0.0.1:8080/demo --seconds 5 --connections 64
    python -m loadtests.load_client http://127.0.0.1:8080/demo --seconds 5 --rate 10000
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from array import array
from collections import deque
from itertools import cycle
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

END_OF_HEADERS: Final = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
USER_AGENT: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Safari/537.36"
)
REQUEST_HEADERS: Final = (
    f"User-Agent: {USER_AGENT}\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://news.example/today\r\n"
)
"""What a browser sends: a server that answers a bare request fast proves little."""


class LoadResult(msgspec.Struct, frozen=True):
    """One run. `statuses`: answers by status. Latencies in milliseconds."""

    seconds: float
    requests: int
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def per_second(self) -> float:
        """Give answers per second."""
        return self.requests / self.seconds


class _Run:
    """What the connections of one run share."""

    def __init__(self, request: bytes, *, is_open_loop: bool) -> None:
        self.request = request
        self.is_open_loop = is_open_loop
        self.is_counting = False
        self.is_over = False
        self.latencies_s = array("d")
        self.statuses: dict[bytes, int] = {}
        self.lost = 0


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._due: deque[float] = deque()
        """When each request that is not answered yet was due."""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        if not self._run.is_open_loop:
            self.ask(time.perf_counter())

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._run.is_over:
            self._run.lost += 1

    def ask(self, due: float) -> None:
        assert self._transport is not None
        self._due.append(due)
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        while data and (size := _whole_size(data)):
            self._count(data[9:12])
            data = data[size:]
        self._buffer = data

    def _count(self, status: bytes) -> None:
        run, now = self._run, time.perf_counter()
        due = self._due.popleft()
        if run.is_counting:
            run.latencies_s.append(now - due)
            run.statuses[status] = run.statuses.get(status, 0) + 1
        if not run.is_over and not run.is_open_loop:
            self.ask(now)


def _whole_size(data: bytes) -> int:
    """Give the size of the first answer in `data`; 0 while it is not complete."""
    head_end = data.find(END_OF_HEADERS)
    if head_end < 0:
        return 0
    length = _CONTENT_LENGTH.search(data, 0, head_end)
    size = head_end + len(END_OF_HEADERS) + (int(length[1]) if length else 0)
    return size if len(data) >= size else 0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for. `rate`: requests a second in open loop; 0 for closed loop."""

    url: str
    seconds: float
    warmup_s: float
    connections: int
    rate: float


async def _run_load(load: Load) -> LoadResult:
    parts = urlsplit(load.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n{REQUEST_HEADERS}\r\n".encode()
    run = _Run(request, is_open_loop=load.rate > 0)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Connection(run), host, port) for _ in range(load.connections)
    ]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_rate(run, [connection for _transport, connection in opened], load.rate))
        await asyncio.sleep(load.warmup_s)
        run.is_counting = True
        started = time.perf_counter()
        await asyncio.sleep(load.seconds)
        run.is_counting = False
        elapsed = time.perf_counter() - started
        run.is_over = True
    for transport, _connection in opened:
        transport.close()
    return _sum_up(run, elapsed)


async def _keep_rate(run: _Run, connections: list[_Connection], rate: float) -> None:
    """Ask when it is time, on the connections in turn, until the run is over."""
    if not run.is_open_loop:
        return
    turn, asked, started = cycle(connections), 0, time.perf_counter()
    while not run.is_over:
        while asked < (time.perf_counter() - started) * rate:
            next(turn).ask(started + asked / rate)
            asked += 1
        await asyncio.sleep(0.0005)


def _sum_up(run: _Run, elapsed: float) -> LoadResult:
    ordered = sorted(run.latencies_s)

    def percentile_ms(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0

    statuses = {status.decode("latin-1"): count for status, count in run.statuses.items()}
    if run.lost:
        statuses["lost"] = run.lost
    return LoadResult(
        elapsed, len(ordered), statuses, percentile_ms(0.5), percentile_ms(0.99), percentile_ms(0.999)
    )


def main() -> None:
    """Run one load and print its LoadResult as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    load = Load(
        url=options.url,
        seconds=options.seconds,
        warmup_s=options.warmup,
        connections=options.connections,
        rate=options.rate,
    )
    result = uvloop.run(_run_load(load))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
