"""The same HTTP server as the edge's, answering a constant 302: what the server alone costs."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Final

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol
    from granian.rsgi import Scope

HEADERS: Final = [("location", "https://example.com/landing"), ("cache-control", "no-store")]


async def app(_scope: Scope, protocol: RSGIHTTPProtocol) -> None:
    """Redirect whoever asks."""
    protocol.response_empty(302, HEADERS)


async def _serve(port: int) -> None:
    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
