"""What llhttp finds in the bytes of a connection, held against the limits, as requests.

llhttp, in its strict mode, decides what a request is; everything that it refuses, and everything
that goes past a limit, is refused once.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import httptools
import structlog

from edge.request import MOST_BODY_BYTES, RESERVED, EdgeRequest, EdgeResponse
from edge.servers import wire_answers as answers
from edge.servers.wire_answers import RefusedError
from edge.servers.wire_headers import WireHeaders
from edge.servers.wire_target import escape_text, split_target

if TYPE_CHECKING:
    from edge.servers.wire_server import WireServer

log = structlog.get_logger()

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2

_REQUEST_LINE: Final = re.compile(rb"(?:\A|\n)[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/\d\.\d\r?(?:\n|\Z)")
_WRONG_VERSIONS: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")
"""What llhttp says of a version that it does not know, and of HTTP/2 without the courtesy to ask."""


class RequestReader(asyncio.Protocol, ABC):
    """The reading half of a connection; the other half says what is done with what was read."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_ending",
        "_headers",
        "_is_closing",
        "_is_in_request_line",
        "_length",
        "_owes_continue",
        "_parser",
        "_phase",
        "_raw_bytes",
        "_requests",
        "_server",
        "_target",
        "deadline",
        "peer",
    )

    def __init__(self, server: WireServer, peer: str | None = None) -> None:
        self._server = server
        self._parser: httptools.HttpRequestParser = httptools.HttpRequestParser(self)
        self._headers = WireHeaders()
        self._target = b""
        self._phase = IDLE
        self._ending = answers.KEEP
        self._requests = self._raw_bytes = self._length = self._body_bytes = 0
        self._body: bytearray | None = None
        """What came of a body that somebody looks into; None of any other."""
        self._owes_continue = self._is_in_request_line = False
        self._is_closing = False
        """No further request is answered."""
        self.peer = peer
        """The client's address; None until it is known, "" on a Unix socket."""
        self.deadline = 0.0

    @abstractmethod
    def _take(self, request: EdgeRequest) -> None:
        """Answer a request that is whole, or put it in line."""

    @abstractmethod
    def _refuse(self, response: EdgeResponse) -> None:
        """Answer a request that is none, after those before it, and close."""

    # --- called by llhttp --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_closing:
            raise RefusedError(answers.BAD_REQUEST)  # stops the parser; the answer is not sent any more
        self._headers = WireHeaders()
        self._target = b""
        self._length = self._body_bytes = 0
        self._let_go_of_body()
        self._phase = HEAD
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
        self._phase = BODY
        self._raw_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Count a part of the body, and keep it if it will be looked into."""
        self._body_bytes += len(body)
        if self._body_bytes > self._most_body_bytes:
            raise self._refuse_body()
        if self._body is not None:
            if self._server.kept_body_bytes + len(body) > self._server.limits.bodies_bytes:
                raise RefusedError(answers.NO_ROOM)
            self._server.kept_body_bytes += len(body)
            self._body += body

    def on_message_complete(self) -> None:
        """Answer, or get in line."""
        server = self._server
        self._phase = IDLE
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
        path, query, authority = split_target(self._target)
        method = self._parser.get_method().decode()
        body = self._let_go_of_body()
        request = EdgeRequest(method, path, query, "http", self.peer or "", self._headers, authority, body)
        self._take(request)
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
        if split_target(self._target)[0].startswith(RESERVED):
            self._body = bytearray()
        self._length = int(length or 0)
        if self._length > self._most_body_bytes:
            raise self._refuse_body()
        expectation = headers.get("expect")
        if expectation is not None and self._ending is answers.KEEP:
            if expectation.lower() != "100-continue":
                raise RefusedError(answers.EXPECTATION_FAILED)
            self._owes_continue = coding is not None or self._length > 0
        self.deadline = self._server.now + limits.body_s

    @property
    def _most_body_bytes(self) -> int:
        most = self._server.limits.body_bytes
        return most if self._body is None else min(most, MOST_BODY_BYTES)

    def _refuse_body(self) -> RefusedError:
        is_kept = self._body is not None and self._most_body_bytes == MOST_BODY_BYTES
        return RefusedError(answers.KEPT_BODY_TOO_LARGE if is_kept else answers.BODY_TOO_LARGE)

    def _let_go_of_body(self) -> bytes:
        """Give what was kept of a body, and make room for others."""
        if self._body is None:
            return b""
        body, self._body = bytes(self._body), None
        self._server.kept_body_bytes -= len(body)
        return body

    # --- parsing -----------------------------------------------------------------------------

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
        if self._phase == HEAD:
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
            left = self._length - self._body_bytes if self._phase == BODY else 0
            end = left if left > 0 else data.find(b"\n") + 1 or len(data)
            part, data = data[:end], data[end:]
            is_target = self._phase == IDLE or (self._phase == HEAD and self._is_in_request_line)
            self._feed(escape_text(part) if is_target else part)

    def _check_raw_bytes(self) -> None:
        """Bound what llhttp holds of a header line that does not end, or of chunks without content."""
        limits = self._server.limits
        if self._phase == BODY:
            if self._raw_bytes > 2 * self._most_body_bytes + limits.head_bytes:
                raise self._refuse_body()
        elif self._raw_bytes > limits.head_bytes + limits.target_bytes:
            raise RefusedError(answers.HEADER_TOO_LARGE)

    def _refuse_callback(self, error: httptools.HttpParserCallbackError) -> None:
        cause = error.__context__ or error.__cause__
        if isinstance(cause, RefusedError):
            self._refuse(cause.response)
        else:
            log.error("request_failed", exc_info=cause)
            self._refuse(answers.BROKEN)
