"""The PROXY protocol, versions 1 and 2: a proxy's first words, which say who its client is.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LONGEST_V1: Final = 107
LONGEST_V2: Final = 16 + 2048
"""Addresses take 36 bytes at most (216 for Unix sockets); the rest is extensions."""

_V1: Final = b"PROXY "
_HEAD_BYTES: Final = 16
_LOCAL, _PROXY = 0, 1
_INET, _INET6 = 1, 2
_LAST_PORT: Final = 0xFFFF


class BadProxyHeaderError(Exception):
    """The connection does not begin with a PROXY header."""


class ProxyHeader(msgspec.Struct, frozen=True):
    """`source`: the client's address; None when the proxy speaks for itself. `length`: in bytes."""

    source: str | None
    length: int


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of `data`; None when it is not whole yet.

    Raises BadProxyHeaderError as soon as it cannot become one.
    """
    if data[:6] == _V1[: len(data)]:
        return _parse_v1(data)
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _parse_v2(data)
    raise BadProxyHeaderError("no PROXY header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise BadProxyHeaderError("the line is too long")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(None, end + 2)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):  # noqa: PLR2004  the line's six words
        raise BadProxyHeaderError("the line has another form")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    try:
        source, _destination = (kind(word.decode("ascii")) for word in words[2:4])
    except ValueError as error:
        raise BadProxyHeaderError("an address is none") from error
    for port in words[4:]:
        if not port.isdigit() or int(port[:6]) > _LAST_PORT:
            raise BadProxyHeaderError("a port is none")
    return ProxyHeader(_show(source), end + 2)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEAD_BYTES:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    family, length = data[13] >> 4, _HEAD_BYTES + int.from_bytes(data[14:16], "big")
    if version != 2 or command > _PROXY:  # noqa: PLR2004  the version
        raise BadProxyHeaderError("an unknown version or command")
    if length > LONGEST_V2:
        raise BadProxyHeaderError("the header is too long")
    if len(data) < length:
        return None
    # What is neither IPv4 nor IPv6 is skipped, as the protocol demands.
    if command == _LOCAL or family not in (_INET, _INET6):
        return ProxyHeader(None, length)
    size = 4 if family == _INET else 16
    if length < _HEAD_BYTES + 2 * size + 4:
        raise BadProxyHeaderError("the addresses are cut off")
    packed = data[_HEAD_BYTES : _HEAD_BYTES + size]
    return ProxyHeader(_show(IPv4Address(packed) if family == _INET else IPv6Address(packed)), length)


def _show(address: IPv4Address | IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address).partition("%")[0]
