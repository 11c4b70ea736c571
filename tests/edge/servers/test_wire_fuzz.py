"""Whatever arrives, in whatever pieces: the wire server answers what was asked and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.processes import EdgeProcesses
from tests.edge.servers.raw_client import RawClient, get
from tests.edge.servers.wire_thread import WireThread
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis.asyncio import Redis

    from tests.edge.servers.raw_client import Answer

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

POST = b"POST /b HTTP/1.1\r\nHost: edge\r\n"
VALID = (
    get("/a?x=1"),
    get("/later?y"),
    get("http://edge/c?\xe9", "X: \xe9"),
    get("/d", method="HEAD"),
    get("/e", "Connection: keep-alive", version="1.0"),
    get("/f", "Connection: Upgrade", "Upgrade: h2c"),
    POST + b"Content-Length: 5\r\n\r\nh\xe9l\nx",
    POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nGET\r\n2\r\n\r\n\r\n0\r\nT: x\r\n\r\n",
)
TOKENS = (
    *(b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"\xff", b"%00", b"HTTP/1.1", b"0\r\n\r\n"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"GET / HTTP/1.1\r\n", b"Host: b\r\n"),
)
LAST = get("/last", "Connection: close")


@pytest.fixture(scope="module")
def echo() -> Iterator[WireThread]:
    with WireThread(head_s=1000, idle_s=1000) as edge:
        yield edge


def bodies(raw: bytes) -> list[bytes]:
    """Split what came back into answers; those to HEAD have no body here, so bodies are ignored."""
    return re.findall(rb"HTTP/1\.1 (\d\d\d) ", raw)


def exchange(edge: WireThread, *pieces: bytes) -> bytes:
    """Send pieces, each in a packet of its own, and give all that comes back."""
    with RawClient(edge.address, timeout_s=2) as client:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                client.send(piece)
        client.end()
        while client._receive():
            pass
        return re.sub(rb"date: [^\r]+\r\n", b"", client._received)


def cut(data: bytes, *places: int) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


class TestCuts:
    @pytest.mark.parametrize("request_", VALID)
    def test_at_every_boundary(self, echo: WireThread, request_: bytes) -> None:
        data = request_ + LAST
        whole = exchange(echo, data)
        assert bodies(whole) == [b"200", b"200"]
        for place in range(1, len(data)):
            assert exchange(echo, *cut(data, place)) == whole

    @FUZZ
    @given(st.lists(st.sampled_from(VALID), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
    def test_of_many_requests(self, echo: WireThread, requests: list[bytes], places: list[int]) -> None:
        data = b"".join(requests) + LAST
        whole = exchange(echo, data)
        assert bodies(whole) == [b"200"] * (len(requests) + 1)
        assert exchange(echo, *cut(data, *places)) == whole

    def test_byte_by_byte(self, echo: WireThread) -> None:
        data = b"".join(VALID) + LAST
        pieces = [data[place : place + 1] for place in range(len(data))]
        with_continue = exchange(echo, *pieces)
        assert with_continue == exchange(echo, data)


def mutations() -> st.SearchStrategy[bytes]:
    """Valid requests with bytes changed, left out, doubled, or put in."""

    def mutate(requests: list[bytes], changes: list[tuple[int, int, bytes]]) -> bytes:
        data = b"".join(requests)
        for place, length, new in changes:
            start = place % (len(data) + 1)
            data = data[:start] + new + data[start + length :]
        return data

    tokens = st.sampled_from(TOKENS)
    change = st.tuples(st.integers(0, 2000), st.integers(0, 20), tokens | st.binary(max_size=4))
    return st.builds(
        mutate,
        st.lists(st.sampled_from(VALID), min_size=1, max_size=5),
        st.lists(change, min_size=1, max_size=4),
    )


def count_request_lines(data: bytes) -> int:
    """Give an upper bound of the requests in `data`: the places where a request line could be."""
    return len(re.findall(rb"[A-Z] +[^ \r\n]+ HTTP/1\.[01]\r?\n|[A-Z] +[^ \r\n]+ [A-Z]+/1\.0\r?\n", data))


class TestAnything:
    @FUZZ
    @given(st.binary(max_size=400) | mutations(), st.lists(st.integers(0, 2000), max_size=3))
    def test_is_answered_no_more_often_than_it_asks(
        self, echo: WireThread, data: bytes, places: list[int]
    ) -> None:
        before = len(echo.worker.asked)
        statuses = bodies(exchange(echo, *cut(data, *places)))
        asked = len(echo.worker.asked) - before
        assert asked <= count_request_lines(data)
        assert statuses.count(b"200") <= asked
        assert [status for status in statuses[:-1] if status not in (b"200", b"100")] == []
        assert b"500" not in statuses
        assert echo.is_running
        assert bodies(exchange(echo, LAST)) == [b"200"]


class TestClicks:
    async def test_every_redirect_is_in_the_journal_and_nothing_else(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        edge = EdgeProcesses(tmp_path, redis_url, server="wire")
        edge.start()
        await edge.ready()
        redirects = await asyncio.to_thread(fuzz_links, edge)
        health = edge.health()
        assert health is not None
        assert redirects > 0
        assert health.events.served == health.events.journaled == redirects
        await eventually(lambda: (found := edge.health()) is not None and found.events.shipped == redirects)
        assert await edge.terminate() == [0]
        assert "Traceback" not in edge.log()


def fuzz_links(edge: EdgeProcesses) -> int:
    """Send mutations of GETs for a link. Give the redirects that came back."""
    redirects = 0

    @settings(FUZZ, max_examples=100, database=None)
    @given(mutations(), st.integers(0, 2000))
    def run(data: bytes, place: int) -> None:
        nonlocal redirects
        data = re.sub(rb"(/[a-f]|/later)\b", b"/summer", data).replace(b"HEAD", b"GET")
        with RawClient(("127.0.0.1", edge.port)) as client:
            with contextlib.suppress(ConnectionError):
                for piece in cut(data, place):
                    client.send(piece)
            redirects += count_redirects(client.end().answers())

    run()
    return redirects


def count_redirects(answers: list[Answer]) -> int:
    return sum(answer.status == 302 for answer in answers)
