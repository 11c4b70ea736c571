"""An HTTP client for one URL, small enough to leave the server the slower one.

Closed loop: N connections, each asks again as soon as it is answered. Open loop (`--rate`): so many
requests a second whatever the answers do. There a latency counts from the moment when the request was
due, not from when it was sent, so neither a server that stalls nor a client that comes late can hide
it; how late the client itself was is told apart. Every answer is counted by its status.

One thread on epoll without an event loop's timers (they tick in milliseconds) and with the garbage
collector off: what it adds to a latency is mostly what it waits for its core.

    python -m loadtests.load_client http://127.0.0.1:8080/demo --seconds 5 --connections 64
    python -m loadtests.load_client http://127.0.0.1:8080/demo --seconds 5 --rate 10000
"""

from __future__ import annotations

import argparse
import gc
import re
import select
import socket
import sys
import time
from array import array
from collections import deque
from itertools import cycle
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

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

NAP_S: Final = 0.00005
"""How long an open loop sleeps at most: less would take the core from others that need it."""
ASKED_AT_ONCE: Final = 32
"""After so many requests that are late, answers are read again."""
DRAIN_S: Final = 2.0
"""How long answers are awaited at the end of an open loop."""


class LoadResult(msgspec.Struct, frozen=True):
    """One run. `statuses`: answers by status; `lost`: without one. Latencies in milliseconds.

    `sent_late_p99_ms`: how long after they were due requests were sent (open loop; part of the latencies).
    `cpu_us`: processor time of the server per answer, in microseconds; 0 where it was not read.
    """

    seconds: float
    requests: int
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    p999_ms: float
    sent_late_p99_ms: float = 0.0
    cpu_us: float = 0.0

    @property
    def per_second(self) -> float:
        """Give answers per second."""
        return self.requests / self.seconds


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for. `rate`: requests a second in open loop; 0 for closed loop.

    `is_bare`: send no headers but Host. `slugs`: a file with a slug a line, visited in turn instead of
    the URL's path.
    """

    url: str
    seconds: float
    warmup_s: float
    connections: int
    rate: float
    is_bare: bool = False
    slugs: Path | None = None


class _Run:
    """What the connections of one run share: times are `time.perf_counter` seconds."""

    def __init__(self, load: Load) -> None:
        parts = urlsplit(load.url)
        query = f"?{parts.query}" if parts.query else ""
        headers = "" if load.is_bare else REQUEST_HEADERS
        rest = f"{query} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode()
        paths = [parts.path or "/"]
        if load.slugs:
            paths = [f"/{slug}" for slug in load.slugs.read_text().split()]
        self.address = parts.hostname or "127.0.0.1", parts.port or 80
        self.requests = (b"GET %s%s" % (path.encode(), rest) for path in cycle(paths))
        self.rate = load.rate
        self._warmup_s, self._seconds = load.warmup_s, load.seconds
        self.started = self.counts_from = self.ends = 0.0
        self.latencies_s = array("d")
        self.sent_late_s = array("d")
        self.statuses: dict[bytes, int] = {}
        self.lost = 0

    def begin(self) -> None:
        """Let the time begin, once all is ready."""
        self.started = time.perf_counter()
        self.counts_from = self.started + self._warmup_s
        self.ends = self.counts_from + self._seconds

    def counts(self, due: float, now: float) -> bool:
        """Tell whether an answer is part of the result: open loops count what was due, and when."""
        return due >= self.counts_from and (due if self.rate else now) < self.ends


class _Connection:
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._socket = socket.create_connection(run.address, timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._received = self._unsent = b""
        self.due: deque[float] = deque()
        """When each request that is not answered yet was due."""
        self.is_open = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, due: float) -> None:
        self.due.append(due)
        self._unsent += next(self._run.requests)
        self.send()

    def send(self) -> None:
        """Send what is left to send, as far as the connection takes it."""
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.is_open = False

    def receive(self) -> None:
        try:
            data = self._socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.is_open = False
            return
        data = self._received + data if self._received else data
        while data and (size := _whole_size(data)):
            self._count(data[9:12])
            data = data[size:]
        self._received = data
        if self._unsent:
            self.send()

    def _count(self, status: bytes) -> None:
        run, now = self._run, time.perf_counter()
        due = self.due.popleft()
        if run.counts(due, now):
            run.latencies_s.append(now - due)
            run.statuses[status] = run.statuses.get(status, 0) + 1
        if not run.rate and now < run.ends:
            self.ask(now)

    def close(self) -> None:
        self._socket.close()


def _whole_size(data: bytes) -> int:
    """Give the size of the first answer in `data`; 0 while it is not complete."""
    head_end = data.find(END_OF_HEADERS)
    if head_end < 0:
        return 0
    length = _CONTENT_LENGTH.search(data, 0, head_end)
    size = head_end + len(END_OF_HEADERS) + (int(length[1]) if length else 0)
    return size if len(data) >= size else 0


def run_load(load: Load) -> LoadResult:
    """Ask, and give what came back. Raises OSError when there is nobody to ask."""
    run = _Run(load)
    connections = {(one := _Connection(run)).fileno(): one for _ in range(load.connections)}
    with select.epoll() as poller:
        for number in connections:
            poller.register(number, select.EPOLLIN)
        gc.collect()
        gc.disable()
        run.begin()
        try:
            (_ask_at_rate if load.rate else _ask_again_and_again)(run, poller, connections)
        finally:
            gc.enable()
    for connection in connections.values():
        _count_lost(run, connection)
        connection.close()
    return _sum_up(run, load.seconds)


def _ask_again_and_again(run: _Run, poller: select.epoll, connections: dict[int, _Connection]) -> None:
    for connection in connections.values():
        connection.ask(time.perf_counter())
    while time.perf_counter() < run.ends:
        _receive(poller, connections, timeout_s=0.01)


def _ask_at_rate(run: _Run, poller: select.epoll, connections: dict[int, _Connection]) -> None:
    """Ask when it is time, on the connections in turn; at the end wait for the answers."""
    turn, asked, due, pause_s = cycle(connections.values()), 0, run.started, 1 / run.rate
    while due < run.ends:
        now = time.perf_counter()
        for _ in range(ASKED_AT_ONCE):
            if due > now or due >= run.ends:
                break
            next(turn).ask(due)
            if due >= run.counts_from:
                run.sent_late_s.append(time.perf_counter() - due)
            asked += 1
            due = run.started + asked * pause_s
        if not _receive(poller, connections, timeout_s=0) and (rest := due - time.perf_counter()) > 0:
            time.sleep(min(rest, NAP_S))
    while any(one.due for one in connections.values()) and time.perf_counter() < run.ends + DRAIN_S:
        _receive(poller, connections, timeout_s=0.01)


def _receive(poller: select.epoll, connections: dict[int, _Connection], *, timeout_s: float) -> bool:
    """Read what has come; give whether anything had."""
    ready = poller.poll(timeout_s)
    for number, _event in ready:
        connection = connections[number]
        connection.receive()
        if not connection.is_open:
            poller.unregister(number)
    return bool(ready)


def _count_lost(run: _Run, connection: _Connection) -> None:
    """Count what an open loop never got an answer to, and a connection that was cut in a closed one."""
    if run.rate:
        now = time.perf_counter()
        unanswered = [now - due for due in connection.due if due >= run.counts_from]
        run.latencies_s.extend(unanswered)
        run.lost += len(unanswered)
    elif not connection.is_open:
        run.lost += 1


def _sum_up(run: _Run, seconds: float) -> LoadResult:
    def percentile_ms(values_s: array[float], share: float) -> float:
        ordered = sorted(values_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0

    statuses = {status.decode("latin-1"): count for status, count in run.statuses.items()}
    answered = sum(statuses.values())
    if run.lost:
        statuses["lost"] = run.lost
    p50, p99, p999 = (percentile_ms(run.latencies_s, share) for share in (0.5, 0.99, 0.999))
    return LoadResult(seconds, answered, statuses, p50, p99, p999, percentile_ms(run.sent_late_s, 0.99))


def main() -> None:
    """Run one load and print its LoadResult as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--slugs", type=Path)
    options = parser.parse_args()
    load = Load(
        url=options.url,
        seconds=options.seconds,
        warmup_s=options.warmup,
        connections=options.connections,
        rate=options.rate,
        is_bare=options.bare,
        slugs=options.slugs,
    )
    sys.stdout.write(msgspec.json.encode(run_load(load)).decode() + "\n")


if __name__ == "__main__":
    main()
