"""The reader of whole requests finds what the reader of pieces finds, or leaves it to that one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.servers.wire_reader import IDLE, RequestReader
from edge.servers.wire_server import Limits
from edge.servers.wire_whole import WholeReader
from tests.edge.servers.raw_client import get

if TYPE_CHECKING:
    from edge.request import EdgeRequest, EdgeResponse

NAMES = ("Host", "user-agent", "USER-AGENT", "Referer", "Cookie", "Sec-GPC", "X-Host", "Connection", "Expect")
LENGTHS = ("Content-Length", "Transfer-Encoding", "Upgrade", "Host ", "", "X\x7f", "Hos\xe9")
VALUES = ("edge", "1", "0", "close", "keep-alive", "chunked", "", " a\t", "\t", "a: b", "\x00", "\xe9")
ASKED = ("host", "user-agent", "referer", "cookie", "sec-gpc", "x-host", "connection", "agent")


class PieceReader(RequestReader):
    """Takes bytes as they come; says what was asked."""

    def __init__(self) -> None:
        server = SimpleNamespace(limits=Limits(), now=0.0, is_draining=False)
        super().__init__(cast("Any", server), "192.0.2.1")
        self.requests: list[EdgeRequest] = []
        self.refused: list[EdgeResponse] = []

    def _take(self, request: EdgeRequest) -> None:
        self.requests.append(request)

    def _refuse(self, response: EdgeResponse) -> None:
        self.refused.append(response)


def agree(data: bytes) -> bool:
    """Check that both readers find the same in `data`; False when it is left to the other one."""
    whole = WholeReader(8192)
    request = whole.read(data, "192.0.2.1")
    after = whole.read(get("/after"), "192.0.2.1")
    assert after is not None  # nothing of the bytes before is left in the reader
    assert after.path == "/after"
    if request is None:
        return False
    pieces = PieceReader()
    pieces._parse(data)
    assert pieces.refused == []
    (other,) = pieces.requests
    assert pieces._phase == IDLE
    assert not pieces._is_closing
    for field in ("method", "path", "query", "scheme", "peer"):
        assert getattr(request, field) == getattr(other, field)
    for name in ASKED:
        assert request.headers.get_all(name) == [line.strip(" \t") for line in other.headers.get_all(name)]
        assert request.headers.get(name) == next(iter(request.headers.get_all(name)), None)
    return True


@pytest.mark.parametrize(
    "request_",
    [
        get(),
        get("/", "Connection: keep-alive"),
        get("/a/b%20c?d=%20&e?f"),
        get("//c?", "USER-AGENT: x", "cookie:a=1", "Cookie:  b=2 "),
        get("/x", "Content-Length: 0"),
    ],
)
def test_plain_requests_are_read_whole(request_: bytes) -> None:
    assert agree(request_)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        get()[:-1],
        get() + b"G",
        get() * 2,
        b"\r\n" + get(),
        get(method="HEAD"),
        get(version="1.0"),
        get("http://edge/a"),
        get("*"),
        get("/\xe9"),
        get("/a b"),
        get("/", "Host: other"),
        get("/", "Expect: 100-continue"),
        get("/", "Connection: close"),
        get("/", "Connection: Upgrade", "Upgrade: h2c"),
        get("/", "Content-Length: 4") + b"\r\n\r\n",
        get("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        get("/", "X: " + "x" * 9000),
        get("/").replace(b"Host: edge\r\n", b""),
        get("/", "X: a\r\n b"),
        get("/", "X : a"),
        get("/").replace(b"\r\n", b"\n"),
    ],
)
def test_what_is_not_plain_is_left_to_the_other_reader(data: bytes) -> None:
    assert not agree(data)


@settings(max_examples=400)
@given(
    st.text("/a?%2F0. \xe9#", max_size=12),
    st.lists(st.tuples(st.sampled_from(NAMES + LENGTHS), st.sampled_from(VALUES)), max_size=6),
    st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", get()]),
)
def test_both_readers_agree(target: str, lines: list[tuple[str, str]], rest: bytes) -> None:
    agree(get("/" + target, *(f"{name}: {value}" for name, value in lines)) + rest)
