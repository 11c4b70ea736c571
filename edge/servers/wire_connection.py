"""One connection: bytes in through llhttp, answers out in the order of their requests.

What is no request, or goes past a limit, is answered once and closed. An answer that has to be
awaited holds up those behind it, and the socket is not read meanwhile.

A round of the event loop has three steps: every socket that has something is read, then what came is
parsed and answered, then all answers are written. A write is mostly the kernel's work; between two
requests it would push the code that answers them out of the processor's caches, which costs more
than the code itself. And it wakes the client, which is dear too when it happens for each answer alone.

Bytes are parsed in pieces, one in each round: a client that sends thousands of requests at once
neither holds up the others nor has more than a piece's answers in memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import structlog

from edge.request import EdgeRequest, EdgeResponse
from edge.servers import wire_answers as answers
from edge.servers.wire_reader import IDLE, RequestReader

if TYPE_CHECKING:
    import httptools

    from edge.servers.wire_server import WireServer

    Waiting: TypeAlias = tuple[EdgeRequest | EdgeResponse, str]
    """What comes behind an answer that has to be awaited, and how its own answer ends."""

log = structlog.get_logger()

PIECE_BYTES: Final = 8 * 1024
LINGER_S: Final = 2.0
"""How long a client that was told to close may go on sending, so that it can read why."""


class Connection(RequestReader):
    """One client: called by uvloop with bytes, and by llhttp with what it finds in them."""

    __slots__ = (
        "_has_eof",
        "_is_lingering",
        "_is_reading_paused",
        "_is_write_paused",
        "_out",
        "_task",
        "_transport",
        "_unread",
        "_waiting",
    )

    def __init__(self, server: WireServer, peer: str | None = None) -> None:
        super().__init__(server, peer)
        self._unread = b""
        self._out: list[bytes] = []
        self._waiting: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_write_paused = self._is_reading_paused = self._is_lingering = self._has_eof = False

    # --- called by uvloop --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections already."""
        self._transport = cast("asyncio.Transport", transport)
        if self.peer is None:
            self.peer = read_peer(transport)
        self._transport.set_write_buffer_limits(high=self._server.limits.unsent_bytes)
        self.deadline = self._server.now + self._server.limits.head_s
        if not self._server.admit(self):
            self._is_closing = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        del exc
        self._is_closing = True
        self._unread = b""
        self._let_go_of_body()
        self._server.forget(self)
        if self._task is not None:
            self._task.cancel()
        # Parser and connection refer to each other; without this only the collector frees them.
        self._parser = cast("httptools.HttpRequestParser", None)

    def data_received(self, data: bytes) -> None:
        """Keep what came until every socket has been read."""
        if self._is_closing:
            return
        if self._unread:
            self._unread += data  # its turn comes already, or once something is out of the way
        else:
            self._unread = data
            if self._task is None and not self._is_write_paused:
                self._server.parse_soon(self)
                return
        self._steer_reading()

    def eof_received(self) -> bool:
        """Close once what was asked for is answered: a client may end its half early."""
        self._has_eof = True
        self.flush()
        return True

    def pause_writing(self) -> None:
        """Stop reading while the client does not take its answers."""
        self._is_write_paused = True
        self.deadline = self._server.now + self._server.limits.write_s
        self._steer_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._is_write_paused = False
        self._renew_deadline()
        self._go_on()

    def parse_some(self) -> None:
        """Parse one piece of what came; the next one has its turn after the other clients."""
        if not self._unread or self._is_closing or self._is_write_paused or self._task is not None:
            return
        piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
        if self._phase == IDLE and not (self._unread or self._is_reading_paused):
            request = self._server.whole.read(piece, self.peer or "")
            if request is not None and self._answer_whole(request):
                return
        self._parse(piece)
        self._offer_continue()
        if self._is_closing:
            self._unread = b""
        elif self._unread:
            self._go_on()
        self._steer_reading()

    def _offer_continue(self) -> None:
        if self._owes_continue and self._task is None and not self._is_closing:
            self._owes_continue = False
            self._out.append(answers.CONTINUE)

    # --- answering ---------------------------------------------------------------------------

    def _answer_whole(self, request: EdgeRequest) -> bool:
        """Answer a request that came whole; False when it takes more than one step."""
        server = self._server
        if self._requests >= server.limits.requests - 1:
            return False
        try:
            response = server.worker.answer(request)
        except Exception:
            log.exception("request_failed")
            self._refuse(answers.BROKEN)
            return True
        if response is None:
            return False
        self._requests += 1
        self.deadline = server.now + server.limits.idle_s
        self._out.append(answers.render(response, False, server.date_line, answers.KEEP))
        if server.log_share:
            server.log_answer(self.peer or "", request, response)
        return True

    def _take(self, request: EdgeRequest) -> None:
        response = self._server.worker.answer(request) if self._task is None else None
        if response is None:
            self._wait_for(request)
        else:
            self._send(response, request, self._ending)

    def _send(self, response: EdgeResponse, request: EdgeRequest | None, ending: str) -> None:
        is_head = request is not None and request.method == "HEAD"
        self._out.append(answers.render(response, is_head, self._server.date_line, ending))
        if self._server.log_share:
            self._server.log_answer(self.peer or "", request, response)

    def _wait_for(self, request: EdgeRequest | EdgeResponse) -> None:
        self._waiting.append((request, self._ending))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_waiting())
            self._steer_reading()

    async def _answer_waiting(self) -> None:
        """Answer in order what could not be answered at once, and what came behind it."""
        while self._waiting:
            request, ending = self._waiting.popleft()
            if isinstance(request, EdgeResponse):
                self._send(request, None, answers.CLOSE)
            else:
                self._send(await self._find_answer(request), request, ending)
            if self._waiting:
                self.flush()
        self._task = None
        self._offer_continue()
        self._renew_deadline()
        self._go_on()
        self.flush()

    async def _find_answer(self, request: EdgeRequest) -> EdgeResponse:
        try:
            return self._server.worker.answer(request) or await self._server.worker.answer_later(request)
        except Exception:
            log.exception("request_failed")
            return answers.BROKEN

    def flush(self) -> None:
        """Write what is ready; close when nothing more will come."""
        if self._transport.is_closing():
            self._out.clear()
            return
        if self._out:
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out.clear()
        if self._task is None and not self._unread:
            if self._has_eof:
                self._transport.close()
            elif self._is_closing and not self._is_lingering:
                self._linger()

    def _linger(self) -> None:
        """Say that no more will come, and let the client read that before the connection goes."""
        self._is_lingering = True
        self._transport.write_eof()
        self._transport.resume_reading()
        has_unsent = self._transport.get_write_buffer_size() > 0
        self.deadline = self._server.now + (self._server.limits.write_s if has_unsent else LINGER_S)

    def _go_on(self) -> None:
        if self._unread:
            self._server.parse_soon(self)
        else:
            self._steer_reading()

    def _steer_reading(self) -> None:
        """Read from the socket only while nothing that was read is in the way."""
        if self._transport.is_closing() or self._is_lingering:
            return
        self._is_reading_paused = bool(self._unread) or self._is_write_paused or self._task is not None
        if self._is_reading_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # --- refusing and ending -----------------------------------------------------------------

    def _refuse(self, response: EdgeResponse) -> None:
        """Answer a request that is none, after those before it, and close."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._task is not None:
            self._waiting.append((response, answers.CLOSE))
        else:
            self._send(response, None, answers.CLOSE)

    def _renew_deadline(self) -> None:
        limits = self._server.limits
        allowed_s = (limits.idle_s, limits.head_s, limits.body_s)[self._phase]
        self.deadline = self._server.now + (LINGER_S if self._is_lingering else allowed_s)

    def expire(self) -> None:
        """Close after the deadline; a client in the middle of a request is told so."""
        if self._is_closing or self._task is not None or self._transport.get_write_buffer_size():
            self._transport.abort()
        elif self._phase != IDLE:
            self._refuse(answers.TOO_SLOW)
            self.flush()
        else:
            self._transport.close()

    def drain(self) -> None:
        """Close, unless something is under way."""
        is_busy = self._task or self._unread or self._out or self._phase != IDLE
        if not is_busy and not self._is_lingering and not self._transport.get_write_buffer_size():
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()


def read_peer(transport: asyncio.BaseTransport) -> str:
    """Give the address of the other end, "" on a Unix socket; a v4 address inside v6 becomes v4."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return ""
    address = str(name[0])
    return address[7:] if address.startswith("::ffff:") and "." in address else address
