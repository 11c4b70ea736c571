"""One connection: bytes in through llhttp, answers out in the order of their requests.

llhttp, in its strict mode, decides what a request is; everything that it refuses, and everything
that goes past a limit, is answered once and closed. An answer that needs no waiting is ready in
the call that received the request, and is written at the end of the event loop's round, with the
others of the connection. An answer that has to be awaited holds up those behind it, and the socket
is not read meanwhile.

Bytes are parsed in pieces, one in each round of the loop: a client that sends thousands of
requests at once neither holds up the others nor has more than a piece's answers in memory.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import httptools
import structlog

from edge.request import EdgeRequest, EdgeResponse
from edge.servers import wire_answers as answers
from edge.servers.wire_answers import RefusedError
from edge.servers.wire_headers import WireHeaders
from edge.servers.wire_target import escape_text, split_target

if TYPE_CHECKING:
    from edge.servers.wire_server import WireServer

    Waiting: TypeAlias = tuple[EdgeRequest | EdgeResponse, str]
    """What comes behind an answer that has to be awaited, and how its own answer ends."""

log = structlog.get_logger()

PIECE_BYTES: Final = 8 * 1024
LINGER_S: Final = 2.0
"""How long a client that was told to close may go on sending, so that it can read why."""

_IDLE: Final = 0
_HEAD: Final = 1
_BODY: Final = 2

_REQUEST_LINE: Final = re.compile(rb"(?:\A|\n)[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/\d\.\d\r?(?:\n|\Z)")
_WRONG_VERSIONS: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")
"""What llhttp says of a version that it does not know, and of HTTP/2 without the courtesy to ask."""


class Connection(asyncio.Protocol):
    """One client: called by uvloop with bytes, and by llhttp with what it finds in them."""

    __slots__ = (
        "_body_bytes",
        "_ending",
        "_has_eof",
        "_headers",
        "_is_closing",
        "_is_in_request_line",
        "_is_lingering",
        "_is_write_paused",
        "_length",
        "_out",
        "_owes_continue",
        "_parser",
        "_phase",
        "_raw_bytes",
        "_requests",
        "_server",
        "_target",
        "_task",
        "_transport",
        "_unread",
        "_waiting",
        "deadline",
        "peer",
    )

    def __init__(self, server: WireServer, peer: str | None = None) -> None:
        self._server = server
        self._parser: httptools.HttpRequestParser = httptools.HttpRequestParser(self)
        self._headers = WireHeaders()
        self._target = self._unread = b""
        self._phase = _IDLE
        self._ending = answers.KEEP
        self._requests = self._raw_bytes = self._length = self._body_bytes = 0
        self._out: list[bytes] = []
        self._waiting: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._owes_continue = self._is_write_paused = False
        self._is_closing = False
        """No further request is answered."""
        self._is_lingering = self._has_eof = self._is_in_request_line = False
        self.peer = peer
        """The client's address; None until it is known, "" on a Unix socket."""
        self.deadline = 0.0

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
        self._server.forget(self)
        if self._task is not None:
            self._task.cancel()
        # Parser and connection refer to each other; without this only the collector frees them.
        self._parser = cast("httptools.HttpRequestParser", None)

    def data_received(self, data: bytes) -> None:
        """Parse, and answer what is complete."""
        if self._is_closing:
            return
        if self._unread or len(data) > PIECE_BYTES:
            self._unread += data
            self._parse_unread()
        else:
            self._parse(data)
            self._server.flush_soon(self)

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

    # --- called by llhttp --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_closing:
            raise RefusedError(answers.BAD_REQUEST)  # stops the parser; the answer is not sent any more
        self._headers = WireHeaders()
        self._target = b""
        self._length = self._body_bytes = 0
        self._phase = _HEAD
        self._is_in_request_line = True
        self.deadline = self._server.now + self._server.limits.head_s

    def on_url(self, url: bytes) -> None:
        """Take the target, or one more part of it."""
        self._target = self._target + url if self._target else url
        if len(self._target) > self._server.limits.target_bytes:
            raise RefusedError(answers.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line."""
        self._headers.add(name, value)

    def on_headers_complete(self) -> None:
        """Judge the header as a whole."""
        headers = self._headers
        if headers.size > self._server.limits.head_bytes:
            raise RefusedError(answers.HEADER_TOO_LARGE)
        version = self._parser.get_http_version()
        if version == "1.1":
            self._ending = answers.KEEP
            if not headers.has_one_host:
                raise RefusedError(answers.NO_HOST)
        elif version == "1.0":
            self._ending = answers.KEEP_OLD
        else:
            raise RefusedError(answers.WRONG_VERSION)
        if headers.announces_body:
            self._expect_body()
        self._phase = _BODY
        self._raw_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Count a part of the body; no link looks into it."""
        self._body_bytes += len(body)
        if self._body_bytes > self._server.limits.body_bytes:
            raise RefusedError(answers.BODY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """Answer, or get in line."""
        server = self._server
        self._phase = _IDLE
        self._requests += 1
        self._raw_bytes = 0
        self._owes_continue = False
        if (
            not self._parser.should_keep_alive()
            or self._requests >= server.limits.requests
            or server.is_draining
        ):
            self._is_closing = True
            self._ending = answers.CLOSE
        path, query = split_target(self._target)
        method = self._parser.get_method().decode()
        request = EdgeRequest(method, path, query, "http", self.peer or "", self._headers)
        response = server.worker.answer(request) if self._task is None else None
        if response is None:
            self._wait_for(request)
        else:
            self._send(response, request, self._ending)
        self.deadline = server.now + server.limits.idle_s

    def _expect_body(self) -> None:
        """Judge what the header says of a body and of what should come before it."""
        limits, headers = self._server.limits, self._headers
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if self._ending is answers.KEEP_OLD:
                raise RefusedError(answers.OLD_AND_CHUNKED)
            if coding.lower() != "chunked":
                raise RefusedError(answers.UNKNOWN_CODING)
        self._length = int(length or 0)
        if self._length > limits.body_bytes:
            raise RefusedError(answers.BODY_TOO_LARGE)
        expectation = headers.get("expect")
        if expectation is not None and self._ending is answers.KEEP:
            if expectation.lower() != "100-continue":
                raise RefusedError(answers.EXPECTATION_FAILED)
            self._owes_continue = coding is not None or self._length > 0
        self.deadline = self._server.now + limits.body_s

    # --- parsing -----------------------------------------------------------------------------

    def _parse_unread(self) -> None:
        """Parse one piece of what came at once; the next one has its turn after the other clients."""
        if self._unread and not (self._is_closing or self._is_write_paused or self._task):
            piece, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
            self._parse(piece)
            if self._is_closing:
                self._unread = b""
            if self._unread:
                self._server.call_soon(self._parse_unread)
            self.flush()
        self._steer_reading()

    def _parse(self, data: bytes) -> None:
        self._raw_bytes += len(data)
        try:
            if data.isascii():
                self._feed(data)
            else:
                self._feed_text(data)
            self._check_raw_bytes()
        except RefusedError as refused:
            self._refuse(refused.response)
        except httptools.HttpParserCallbackError as error:
            self._refuse_callback(error)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(answers.UNKNOWN_METHOD if _REQUEST_LINE.search(data) else answers.BAD_REQUEST)
        except httptools.HttpParserError as error:
            is_version = error.args[0] in _WRONG_VERSIONS
            self._refuse(answers.WRONG_VERSION if is_version else answers.BAD_REQUEST)
        if self._owes_continue and self._task is None and not self._is_closing:
            self._owes_continue = False
            self._out.append(answers.CONTINUE)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Nothing is upgraded here: HTTP goes on behind the request that asked for it.
                self._parser = httptools.HttpRequestParser(self)
                data = data[upgrade.args[0] :]
            else:
                break
        if self._phase == _HEAD:
            self._note_line(data)

    def _note_line(self, data: bytes) -> None:
        """Keep in mind whether the next byte belongs to a request line; llhttp does not tell."""
        newline = data.rfind(b"\n")
        if newline >= 0:
            line = data[newline + 1 :]
            # The name of a header has no space in it.
            self._is_in_request_line = not self._target or b" " in line.partition(b":")[0]

    def _feed_text(self, data: bytes) -> None:
        """Feed bytes that are not all ASCII: browsers escape them in targets, other clients may not."""
        while data:
            left = self._length - self._body_bytes if self._phase == _BODY else 0
            end = left if left > 0 else data.find(b"\n") + 1 or len(data)
            part, data = data[:end], data[end:]
            is_target = self._phase == _IDLE or (self._phase == _HEAD and self._is_in_request_line)
            self._feed(escape_text(part) if is_target else part)

    def _check_raw_bytes(self) -> None:
        """Bound what llhttp holds of a header line that does not end, or of chunks without content."""
        limits = self._server.limits
        if self._phase == _BODY:
            if self._raw_bytes > 2 * limits.body_bytes + limits.head_bytes:
                raise RefusedError(answers.BODY_TOO_LARGE)
        elif self._raw_bytes > limits.head_bytes + limits.target_bytes:
            raise RefusedError(answers.HEADER_TOO_LARGE)

    # --- answering ---------------------------------------------------------------------------

    def _send(self, response: EdgeResponse, request: EdgeRequest | None, ending: str) -> None:
        is_head = request is not None and request.method == "HEAD"
        date_line = self._server.date_line
        self._out.append(answers.render(response, is_head=is_head, date_line=date_line, ending=ending))
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
        if self._owes_continue and not self._is_closing:
            self._owes_continue = False
            self._out.append(answers.CONTINUE)
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
            self._server.call_soon(self._parse_unread)
        else:
            self._steer_reading()

    def _steer_reading(self) -> None:
        """Read from the socket only while nothing that was read is in the way."""
        if self._transport.is_closing() or self._is_lingering:
            return
        if self._unread or self._is_write_paused or self._task is not None:
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

    def _refuse_callback(self, error: httptools.HttpParserCallbackError) -> None:
        cause = error.__context__ or error.__cause__
        if isinstance(cause, RefusedError):
            self._refuse(cause.response)
        else:
            log.error("request_failed", exc_info=cause)
            self._refuse(answers.BROKEN)

    def _renew_deadline(self) -> None:
        limits = self._server.limits
        allowed_s = (limits.idle_s, limits.head_s, limits.body_s)[self._phase]
        self.deadline = self._server.now + (LINGER_S if self._is_lingering else allowed_s)

    def expire(self) -> None:
        """Close after the deadline; a client in the middle of a request is told so."""
        if self._is_closing or self._task is not None or self._transport.get_write_buffer_size():
            self._transport.abort()
        elif self._phase != _IDLE:
            self._refuse(answers.TOO_SLOW)
            self.flush()
        else:
            self._transport.close()

    def drain(self) -> None:
        """Close, unless something is under way."""
        is_busy = self._task or self._unread or self._out or self._phase != _IDLE
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
