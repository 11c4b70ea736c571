from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.request import ProxyTrust
from edge.servers.proxy_protocol import (
    LONGEST_V1,
    LONGEST_V2,
    SIGNATURE,
    BadProxyHeaderError,
    ProxyHeader,
    parse_proxy_header,
)
from tests.edge.servers.raw_client import get
from tests.edge.servers.wire_thread import WireThread

if TYPE_CHECKING:
    from pathlib import Path

V1 = b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 443\r\n"


def v2(source: str = "198.51.100.7", *, command: int = 1, extra: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    kind = b"\x21" if family == socket.AF_INET6 else b"\x11"
    addresses = socket.inet_pton(family, source) * 2 + b"\x9c\x40\x01\xbb"
    length = (len(addresses) + len(extra)).to_bytes(2, "big")
    return SIGNATURE + bytes([0x20 | command]) + kind + length + addresses + extra


WHOLE = [
    (V1, "198.51.100.7"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "2001:db8::1"),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2\r\n", "198.51.100.7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (v2(), "198.51.100.7"),
    (v2("2001:db8::1"), "2001:db8::1"),
    (v2("::ffff:198.51.100.7"), "198.51.100.7"),
    (v2(extra=b"\x04\x00\x04\x00\x00\x00\x00"), "198.51.100.7"),
    (v2(command=0), None),
    (SIGNATURE + b"\x20\x00\x00\x00", None),
    (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), None),
]
BAD = [
    b"GET / HTTP/1.1\r\n",
    b"PROXY\r\n",
    b"PROXY TCP4 198.51.100.7\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP6 198.51.100.7 198.51.100.8 1 2\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.1 1 65536\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.1 1 -2\r\n",
    b"PROXY TCP4  198.51.100.7 203.0.113.1 1 2\r\n",
    b"PROXY SCTP 198.51.100.7 203.0.113.1 1 2\r\n",
    b"PROXY TCP4 \xff 203.0.113.1 1 2\r\n",
    b"PROXY UNKNOWN " + b"x" * LONGEST_V1,
    SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
    SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\xff\xff",
]


class TestParsing:
    @pytest.mark.parametrize(("data", "source"), WHOLE)
    def test_whole_and_in_parts(self, data: bytes, source: str | None) -> None:
        assert parse_proxy_header(data + b"GET") == ProxyHeader(source, len(data))
        for cut in range(len(data)):
            assert parse_proxy_header(data[:cut]) is None

    @pytest.mark.parametrize("data", BAD)
    def test_bad(self, data: bytes) -> None:
        with pytest.raises(BadProxyHeaderError):
            parse_proxy_header(data)

    @given(
        st.binary(max_size=300) | st.builds(bytes.__add__, st.sampled_from([V1[:11], v2()[:14]]), st.binary())
    )
    def test_anything(self, data: bytes) -> None:
        try:
            header = parse_proxy_header(data)
        except BadProxyHeaderError:
            return
        if header is None:
            assert len(data) < LONGEST_V2
        else:
            assert 0 < header.length <= len(data)


class TestServing:
    @pytest.mark.parametrize(("data", "source"), WHOLE)
    def test_the_address_replaces_the_peer(self, data: bytes, source: str | None) -> None:
        with WireThread(has_proxy_protocol=True) as edge:
            for cut in (0, 5, 16, len(data)):
                with edge.connect() as client:
                    answer = client.send(data[:cut]).send(data[cut:] + get()).answer()
                    assert answer is not None
                    assert answer.headers["x-peer"] == (source or "127.0.0.1")

    @pytest.mark.parametrize("data", BAD)
    def test_what_begins_otherwise_is_cut(self, data: bytes) -> None:
        with WireThread(has_proxy_protocol=True) as edge, edge.connect() as client:
            assert client.send(data + get()).is_closed()
            assert edge.worker.asked == []

    def test_silence_is_cut(self) -> None:
        with WireThread(has_proxy_protocol=True, head_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            assert client.send(V1[:9]).is_closed()

    def test_connections_are_counted_by_it(self) -> None:
        with WireThread(has_proxy_protocol=True, connections_per_address=1) as edge, edge.connect() as first:
            assert first.send(V1 + get()).answer()
            with edge.connect() as second:
                assert second.send(V1 + get()).is_closed()
            with edge.connect() as third:
                assert third.send(v2("2001:db8::1") + get()).answer()


class TestUnixSocket:
    def test_has_no_address_and_may_be_trusted(self, tmp_path: Path) -> None:
        with WireThread(path=tmp_path / "edge.sock", connections_per_address=1) as edge:
            for client in [edge.connect() for _ in range(2)]:
                answer = client.send(get()).answer()
                assert answer is not None
                assert answer.headers["x-peer"] == ""
        assert ProxyTrust("unix").trusts("")
        assert ProxyTrust("unix, 10.0.0.0/8").trusts("10.1.1.1")
        assert not ProxyTrust("10.0.0.0/8").trusts("")
        assert not ProxyTrust("unix").trusts("10.1.1.1")
