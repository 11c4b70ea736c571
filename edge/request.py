"""What the handler needs of a request and gives as an answer, whatever server is in front."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

import msgspec

RESERVED: Final = "/_/"
"""Paths below it are the edge's own: no slug has a slash in it."""
MOST_BODY_BYTES: Final = 64 * 1024
"""Of a request below RESERVED, the only ones whose body anybody looks into."""

_TRUST_CACHE_SIZE: Final = 4096


class Headers(Protocol):
    """Request headers by lower-case name."""

    def get(self, key: str, default: None = None, /) -> str | None:
        """Give the first value of a header, or None."""

    def get_all(self, key: str, /) -> list[str]:
        """Give every value of a header, in the order in which they came."""


class EdgeRequest(msgspec.Struct, gc=False):
    """One request. `peer`: address of the other end of the connection, without its port.

    `path` is percent-decoded; `query` is as it stood in the request line, without the question mark.
    `authority`: the host that the request line named, which then counts in place of the Host header.
    `body`: of a request below RESERVED; of any other it is passed over.
    """

    method: str
    path: str
    query: str
    scheme: str
    peer: str
    headers: Headers
    authority: str = ""
    body: bytes = b""


class EdgeResponse(msgspec.Struct, frozen=True, gc=False):
    """One answer. `body` is empty for a redirect."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


class ProxyTrust:
    """Which peers are our own proxies, whose word on the visitor we take.

    `networks`: CIDR blocks separated by commas, and `unix` for peers on a Unix socket, which have no
    address; empty trusts nobody. Raises ValueError.
    """

    def __init__(self, networks: str) -> None:
        blocks = {block.strip() for block in networks.split(",")} - {""}
        self._trusts_unix = "unix" in blocks
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(block) for block in sorted(blocks - {"unix"})
        ]
        self._known: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        """Tell whether `address` is one of our proxies."""
        if not self._networks and not self._trusts_unix:
            return False
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _TRUST_CACHE_SIZE:
                self._known.clear()
            known = self._known[address] = self._is_inside(address)
        return known

    def _is_inside(self, address: str) -> bool:
        if not address:
            return self._trusts_unix
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def find_client(self, request: EdgeRequest) -> str:
        """Give the visitor's address.

        Behind trusted proxies that is the right-most address in X-Forwarded-For which is not a
        proxy of ours: what stands to the left of it was written by the visitor.
        """
        client = request.peer
        if not self.trusts(client):
            return client
        hops = ",".join(request.headers.get_all("x-forwarded-for")).split(",")
        for hop in reversed(hops):
            address = parse_address(hop.strip())
            if address is None:
                break
            client = str(address)
            if not self.trusts(client):
                break
        return client


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address without its zone; a v4 address inside v6 becomes v4. None when it is not one."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_prefetch(headers: Headers) -> bool:
    """Tell whether the browser only fetches ahead or makes a preview, by its own word."""
    value = headers.get("sec-purpose") or headers.get("purpose") or headers.get("x-moz")
    if value is None:
        return False
    value = value.lower()
    return "prefetch" in value or "preview" in value or "prerender" in value
