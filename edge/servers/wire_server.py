"""Accepts connections, bounds them, and gives them what they share.

Every connection is bounded in time, in bytes, in requests, and in what waits to be written. One
sweep in a while looks at all deadlines, so that no timer is set and cancelled with each request.
"""

from __future__ import annotations

import asyncio
import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from edge.request import EdgeRequest, EdgeResponse, ProxyTrust
from edge.servers.proxy_preface import ProxyPreface
from edge.servers.wire_connection import PIECE_BYTES, Connection
from edge.servers.wire_whole import WholeReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from edge.settings import Settings

log = structlog.get_logger()

BACKLOG: Final = 4096
DRAIN_POLL_S: Final = 0.01
KIBI: Final = 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may take. Times in seconds, sizes in bytes."""

    head_s: float = 10.0
    """From the first byte of a request, or from connecting, to the end of the header."""
    body_s: float = 30.0
    idle_s: float = 75.0
    """Between two requests, and for an answer that has to be awaited."""
    write_s: float = 30.0
    """How long an answer may wait for a client that does not read."""
    head_bytes: int = 16 * KIBI
    target_bytes: int = 8 * KIBI
    body_bytes: int = 64 * KIBI
    requests: int = 100_000
    connections: int = 20_000
    connections_per_address: int = 2000
    """Proxies that are trusted, and Unix sockets, are not bound by it."""
    unsent_bytes: int = 64 * KIBI
    """Past that much unsent the client is not read any more."""
    sweep_s: float = 1.0
    """How often deadlines are looked at; a deadline is at most twice that late."""


def read_limits(settings: Settings) -> Limits:
    """Give the limits that the operator chose, and the defaults of the others."""
    return Limits(
        head_s=settings.edge_header_timeout_s,
        idle_s=settings.edge_idle_timeout_s,
        head_bytes=settings.edge_header_kb * KIBI,
        body_bytes=settings.edge_body_kb * KIBI,
        requests=settings.edge_requests_per_connection,
        connections=settings.edge_connections,
        connections_per_address=settings.edge_connections_per_address,
    )


class Answering(Protocol):
    """What gives the answers: edge.worker.Worker."""

    def answer(self, request: EdgeRequest, /) -> EdgeResponse | None:
        """Answer at once; None when the answer has to be awaited."""

    async def answer_later(self, request: EdgeRequest, /) -> EdgeResponse:
        """Answer what `answer` could not."""


class Client(Protocol):
    """A connection as the server sees it."""

    peer: str | None
    deadline: float

    def expire(self) -> None:
        """End it: its deadline has passed."""

    def drain(self) -> None:
        """End it, unless something is under way."""

    def abort(self) -> None:
        """Cut it."""


class WireServer:
    """`log_share`: which part of the answers is logged, from 0 to 1."""

    def __init__(
        self,
        worker: Answering,
        limits: Limits,
        *,
        trust: ProxyTrust | None = None,
        log_share: float = 0.0,
        has_proxy_protocol: bool = False,
    ) -> None:
        self.worker = worker
        self.limits = limits
        self.log_share = log_share
        self.is_draining = False
        self.now = time.monotonic()
        """Monotonic seconds, as of the last sweep: exact enough for deadlines, and free."""
        self.date_line = _date_line()
        self.whole = WholeReader(min(PIECE_BYTES, limits.head_bytes, limits.target_bytes))
        self._trust = trust or ProxyTrust("")
        self._has_proxy_protocol = has_proxy_protocol
        self._loop = asyncio.get_running_loop()
        self._clients: set[Client] = set()
        self._per_address: dict[str, int] = {}
        self._listeners: list[asyncio.Server] = []
        self._sweeping = asyncio.create_task(self._keep_sweeping())

    async def listen(self, bound: socket.socket) -> None:
        """Accept connections on a bound socket."""
        make = self._make_preface if self._has_proxy_protocol else self._make_connection
        self._listeners.append(await self._loop.create_server(make, sock=bound, backlog=BACKLOG))

    def _make_connection(self) -> asyncio.Protocol:
        return Connection(self)

    def _make_preface(self) -> asyncio.Protocol:
        return ProxyPreface(self, lambda peer: Connection(self, peer))

    # --- called by connections ---------------------------------------------------------------

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call in the next round of the event loop."""
        self._loop.call_soon(callback)

    def admit(self, client: Client) -> bool:
        """Count a new connection; False when there are too many."""
        peer = client.peer
        if len(self._clients) >= self.limits.connections:
            return False
        if peer and not self._trust.trusts(peer):
            from_there = self._per_address.get(peer, 0)
            if from_there >= self.limits.connections_per_address:
                return False
            self._per_address[peer] = from_there + 1
        self._clients.add(client)
        return True

    def forget(self, client: Client) -> None:
        """Take a connection that has ended off the books."""
        if client not in self._clients:
            return
        self._clients.remove(client)
        peer = client.peer
        if peer in self._per_address:
            self._per_address[peer] -= 1
            if not self._per_address[peer]:
                del self._per_address[peer]

    def log_answer(self, peer: str, request: EdgeRequest | None, response: EdgeResponse) -> None:
        """Log an answer, if it is among those that are sampled."""
        if random.random() >= self.log_share:  # noqa: S311  a sample, not a secret
            return
        method, path = (request.method, request.path) if request is not None else ("", "")
        log.info("answered", peer=peer, method=method, path=path, status=response.status)

    # --- time --------------------------------------------------------------------------------

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            self.now = time.monotonic()
            self.date_line = _date_line()
            # A deadline was set by the clock of an earlier sweep, so it may be that much early.
            limit = self.now - self.limits.sweep_s
            for client in [client for client in self._clients if client.deadline < limit]:
                try:
                    client.expire()
                except Exception:
                    log.exception("connection_not_expired")
                    client.abort()

    async def drain(self, timeout_s: float) -> None:
        """Accept no more, finish the requests in flight, and close every connection."""
        self.is_draining = True
        self.whole.most_bytes = 0  # from now on each answer says that it is the last
        for listener in self._listeners:
            listener.close()
        deadline = time.monotonic() + timeout_s
        while self._clients and time.monotonic() < deadline:
            for client in list(self._clients):
                client.drain()
            await asyncio.sleep(DRAIN_POLL_S)
        self._sweeping.cancel()
        for client in list(self._clients):
            client.abort()


def _date_line() -> str:
    return f"date: {formatdate(usegmt=True)}\r\n"
