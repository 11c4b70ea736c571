"""An HTTP server of the tests' own that answers with whatever bytes it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


class HttpServer:
    """Sends `raw` on every connection; `requests` are the heads that came in.

    `endless`: goes on sending it for ever. `stalls`: says nothing.
    """

    def __init__(self) -> None:
        self.port = 0
        self.raw = b""
        self.endless = False
        self.stalls = False
        self.requests: list[str] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self.respond(200, b"")

    def respond(self, status: int, body: bytes, *headers: str) -> None:
        """Answer with a status, a body, and further header lines."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
        self.raw = "\r\n".join(lines).encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if self.stalls:
                await reader.read()
            writer.write(self.raw)
            while self.endless:
                writer.write(b"x" * 10_000)
                await writer.drain()
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serve_http(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """Run a server on a free port of the loopback address."""
    http = HttpServer()
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: http.server_names.append(name)
    server = await asyncio.start_server(http.serve, "127.0.0.1", 0, ssl=tls)
    http.port = server.sockets[0].getsockname()[1]
    try:
        yield http
    finally:
        server.close()
