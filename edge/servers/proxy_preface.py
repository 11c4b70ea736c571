"""Reads the PROXY header of a connection, then hands the connection on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from edge.servers.proxy_protocol import BadProxyHeaderError, parse_proxy_header
from edge.servers.wire_connection import Connection, read_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.servers.wire_server import WireServer


class ProxyPreface(asyncio.Protocol):
    """A connection whose client is not known yet. `make`: gives the protocol for the rest of it.

    A connection that begins with anything else is cut: to answer it would let a client that
    reaches this port by itself choose its address.
    """

    def __init__(self, server: WireServer, make: Callable[[str], Connection]) -> None:
        self._server = server
        self._make = make
        self._received = b""
        # Counted as a connection of nobody's, until its address is known.
        self.peer: str | None = None
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header, as long as for that of a request."""
        self._transport = cast("asyncio.Transport", transport)
        self.deadline = self._server.now + self._server.limits.head_s
        if not self._server.admit(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        del exc
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Gather the header; once it is whole, the connection goes on as any other."""
        if self._transport.is_closing():
            return
        self._received += data
        try:
            header = parse_proxy_header(self._received)
        except BadProxyHeaderError:
            self._transport.abort()
            return
        if header is None:
            return
        self._server.forget(self)
        peer = read_peer(self._transport) if header.source is None else header.source
        connection = self._make(peer)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        if rest := self._received[header.length :]:
            connection.data_received(rest)

    def expire(self) -> None:
        """Cut a client that does not say who it is."""
        self._transport.abort()

    def drain(self) -> None:
        """Nothing is under way here."""
        self._transport.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()
