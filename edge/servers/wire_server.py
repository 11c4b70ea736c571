"""Accepts connections, bounds them, and gives them what they share.

Every connection is bounded in time, in bytes, in requests, and in what waits to be written. One
sweep in a while looks at all deadlines, so that no timer is set and cancelled with each request.
"""

from __future__ import annotations

import asyncio
import random
import select
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from edge.request import EdgeRequest, EdgeResponse, ProxyTrust
from edge.servers.listening import BACKLOG, accept_waiting
from edge.servers.proxy_preface import ProxyPreface
from edge.servers.wire_connection import PIECE_BYTES, Connection
from edge.servers.wire_whole import WholeReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from edge.settings import Settings

log = structlog.get_logger()

HELP_S: Final = 0.25
"""A connection that waits this long, and at most twice as long, is accepted by another worker."""
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
    bodies_bytes: int = 64 * KIBI * KIBI
    """Of all bodies together that somebody looks into, while they are on their way."""
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
        self.kept_body_bytes = 0
        """Of bodies that are on their way."""
        self.now = time.monotonic()
        """Monotonic seconds, as of the last sweep: exact enough for deadlines, and free."""
        self.date_line = _date_line()
        self.whole = WholeReader(min(PIECE_BYTES, limits.head_bytes, limits.target_bytes))
        self._trust = trust or ProxyTrust("")
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Connection] = []
        self._clients: set[Client] = set()
        self._per_address: dict[str, int] = {}
        self._make = self._make_preface if has_proxy_protocol else self._make_connection
        self._listeners: list[asyncio.Server] = []
        self._own: list[socket.socket] = []
        self._neighbours: list[socket.socket] = []
        self._helping: asyncio.Task[None] | None = None
        self._sweeping = asyncio.create_task(self._keep_sweeping())

    # --- accepting ---------------------------------------------------------------------------

    async def listen(self, bound: socket.socket) -> None:
        """Accept connections on a bound socket."""
        bound.setblocking(False)
        self._own.append(bound.dup())
        self._listeners.append(await self._loop.create_server(self._make, sock=bound, backlog=BACKLOG))

    def look_after(self, neighbours: Iterable[socket.socket]) -> None:
        """Accept from now on also what waits in vain: on sockets of a worker that is dead or stuck.

        And on our own, whose listener the event loop gives up when accepting fails.
        """
        self._neighbours += neighbours
        self._helping = asyncio.create_task(self._keep_helping())

    async def _keep_helping(self) -> None:
        queues = {bound.fileno(): bound for bound in [*self._own, *self._neighbours]}
        poll = select.poll()
        for descriptor in queues:
            poll.register(descriptor, select.POLLIN)
        waited: set[int] = set()
        while not self.is_draining:
            await asyncio.sleep(HELP_S)
            # A worker that lives empties its queue within milliseconds.
            waiting = {descriptor for descriptor, event in poll.poll(0) if event & select.POLLIN}
            for descriptor in waiting & waited:
                await self._accept_waiting(queues[descriptor])
            waited = waiting

    async def _accept_waiting(self, bound: socket.socket) -> None:
        try:
            for accepted in accept_waiting(bound):
                await self._loop.connect_accepted_socket(self._make, accepted)
        except OSError as error:
            log.warning("connections_not_accepted", error=error.strerror)

    def _make_connection(self) -> asyncio.Protocol:
        return Connection(self)

    def _make_preface(self) -> asyncio.Protocol:
        return ProxyPreface(self, lambda peer: Connection(self, peer))

    # --- called by connections ---------------------------------------------------------------

    def parse_soon(self, connection: Connection) -> None:
        """Have what a connection received parsed, and its answers written, once all sockets are read."""
        if not self._waiting:
            self._loop.call_soon(self._answer_waiting)
        self._waiting.append(connection)

    def _answer_waiting(self) -> None:
        connections, self._waiting = self._waiting, []
        for step in (Connection.parse_some, Connection.flush):
            for connection in connections:
                try:
                    step(connection)
                except Exception:  # one client's trouble is not the others'
                    log.exception("connection_failed")
                    connection.abort()

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

    async def drain(self, timeout_s: float, last_request_s: float = 0.0) -> None:
        """Accept no more, finish the requests in flight, and close every connection.

        Each answer from now on says that the connection ends. One on which nothing is asked is closed
        after `last_request_s`: closing at once would cut requests that are on their way.
        """
        self.is_draining = True
        self.whole.most_bytes = 0
        await self._stop_accepting()
        started = time.monotonic()
        while self._clients and (waited_s := time.monotonic() - started) < timeout_s:
            if waited_s >= last_request_s:
                for client in list(self._clients):
                    client.drain()
            await asyncio.sleep(DRAIN_POLL_S)
        self._sweeping.cancel()
        for client in list(self._clients):
            client.abort()

    async def _stop_accepting(self) -> None:
        if self._helping is not None:
            await asyncio.wait([self._helping])  # not cancelled: it may have a connection in hand
        for listener in self._listeners:
            listener.close()
        for bound in self._own:
            # Unless someone else holds the socket, what waits in its queue is reset with it.
            await self._accept_waiting(bound)
        for bound in [*self._own, *self._neighbours]:
            bound.close()


def _date_line() -> str:
    return f"date: {formatdate(usegmt=True)}\r\n"
