"""A closed-loop HTTP client for one URL: N connections, each asks again as soon as it is answered.

Small enough to leave the server the slower one on a core of its own; it counts every answer by
its status, so a benchmark can tell that nothing but redirects was measured.

    python -m loadtests.load_client http://127.0.0.1:8080/demo --seconds 5 --connections 64
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from array import array
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

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.is_counting = False
        self.is_over = False
        self.latencies_s = array("d")
        self.statuses: dict[bytes, int] = {}
        self.lost = 0


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self._run.is_over:
            self._run.lost += 1

    def _ask(self) -> None:
        assert self._transport is not None
        self._asked_at = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not _is_whole(data):
            self._buffer = data
            return
        self._buffer = b""
        run = self._run
        if run.is_counting:
            run.latencies_s.append(time.perf_counter() - self._asked_at)
            status = data[9:12]
            run.statuses[status] = run.statuses.get(status, 0) + 1
        if not run.is_over:
            self._ask()


def _is_whole(data: bytes) -> bool:
    """Tell whether `data` is a complete answer."""
    head_end = data.find(END_OF_HEADERS)
    if head_end < 0:
        return False
    length = _CONTENT_LENGTH.search(data, 0, head_end)
    return length is None or len(data) - head_end - len(END_OF_HEADERS) >= int(length[1])


async def _run_load(url: str, seconds: float, warmup_s: float, connections: int) -> LoadResult:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n{REQUEST_HEADERS}\r\n".encode()
    run = _Run(request)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(run), host, port) for _ in range(connections)]
    await asyncio.sleep(warmup_s)
    run.is_counting = True
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    run.is_counting = False
    elapsed = time.perf_counter() - started
    run.is_over = True
    for transport, _protocol in opened:
        transport.close()
    return _sum_up(run, elapsed)


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
    options = parser.parse_args()
    result = uvloop.run(_run_load(options.url, options.seconds, options.warmup, options.connections))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
