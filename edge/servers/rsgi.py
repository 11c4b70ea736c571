"""The handler behind Granian's RSGI interface: one process, one worker.

Several workers are several processes on one port (SO_REUSEPORT), so each can die and start again
alone; deploy/ keeps them alive. Why the embedded server: deploy/decisions/0002-edge-processes.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from edge.request import MOST_BODY_BYTES, RESERVED, EdgeRequest
from edge.servers.wire_answers import (
    BAD_REQUEST,
    KEPT_BODY_TOO_LARGE,
    LENGTH_REQUIRED,
    TOO_SLOW,
    RefusedError,
)
from edge.stop_signals import on_stop_signals
from edge.worker import STOP_S, Worker

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol
    from granian.rsgi import Scope

    from edge.request import EdgeResponse
    from edge.settings import Settings

BACKLOG: Final = 4096
BODY_S: Final = 30.0
"""How long a body that somebody looks into may take to arrive."""


class RsgiApp:
    """Turns RSGI calls into EdgeRequests and EdgeResponses back into RSGI calls."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def __rsgi__(self, scope: Scope, protocol: RSGIHTTPProtocol) -> None:
        """Answer one request."""
        authority, body = scope.authority, b""
        if scope.path.startswith(RESERVED) and scope.method not in ("GET", "HEAD"):
            try:
                body = await _read_body(scope, protocol)
            except RefusedError as refused:
                _send(refused.response, scope.method, protocol)
                return
        request = EdgeRequest(
            scope.method,
            scope.path,
            scope.query_string,
            scope.scheme,
            _strip_port(scope.client),
            scope.headers,  # type: ignore[arg-type]  # its stub omits get_all
            "" if authority is None else authority.rpartition("@")[2],
            body,
        )
        response = self._worker.answer(request)
        if response is None:
            response = await self._worker.answer_later(request)
        _send(response, request.method, protocol)


async def _read_body(scope: Scope, protocol: RSGIHTTPProtocol) -> bytes:
    """Take a body as far as it may go. Raises RefusedError."""
    announced = scope.headers.get("content-length")
    if announced is not None and int(announced) > MOST_BODY_BYTES:
        raise RefusedError(KEPT_BODY_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in protocol:
                body += part
                if len(body) > MOST_BODY_BYTES:
                    raise RefusedError(KEPT_BODY_TOO_LARGE)
    except TimeoutError as error:
        raise RefusedError(TOO_SLOW) from error
    if announced is not None and len(body) < int(announced):
        raise RefusedError(BAD_REQUEST)
    # Granian does not tell a chunked body that was cut short from a whole one. JSON that ends does.
    if announced is None and body and not body.rstrip().endswith((b"}", b"]")):
        raise RefusedError(LENGTH_REQUIRED)
    return bytes(body)


def _send(response: EdgeResponse, method: str, protocol: RSGIHTTPProtocol) -> None:
    if response.body and method != "HEAD":
        protocol.response_bytes(response.status, response.headers, response.body)
    else:
        protocol.response_empty(response.status, response.headers)


def _strip_port(client: str) -> str:
    """Give the address in `127.0.0.1:1234` or `[::1]:1234`; a v4 address inside v6 becomes v4."""
    address = client[: client.rfind(":")]
    if address.startswith("["):
        address = address[1:-1]
        if address.startswith("::ffff:") and "." in address:
            return address[7:]
    return address


async def _serve(settings: Settings) -> None:
    worker = Worker(settings)
    server = Server(
        RsgiApp(worker),
        address=settings.edge_host,
        port=settings.edge_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        # Not `warning`: at each start it says that the embedded server is experimental.
        log_level=LogLevels.error,
    )
    on_stop_signals(server.stop, within_s=STOP_S)
    worker.start()
    try:
        await server.serve()
    finally:
        await worker.stop()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered, the journal is shipped."""
    uvloop.run(_serve(settings))
