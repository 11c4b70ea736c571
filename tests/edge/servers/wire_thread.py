"""The wire server in a thread of its own, with a worker that says what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

import uvloop

from edge.request import EdgeResponse
from edge.servers.wire_server import Limits, WireServer
from tests.edge.servers.raw_client import RawClient

if TYPE_CHECKING:
    from pathlib import Path

    from edge.request import EdgeRequest, ProxyTrust


class EchoWorker:
    """Answers at once; paths that begin with /later in a moment, with /held when it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = asyncio.Event()

    def answer(self, request: EdgeRequest) -> EdgeResponse | None:
        if request.path.startswith(("/later", "/held")):
            return None
        return self._echo(request)

    async def answer_later(self, request: EdgeRequest) -> EdgeResponse:
        await (self.released.wait() if request.path.startswith("/held") else asyncio.sleep(0))
        return self._echo(request)

    def _echo(self, request: EdgeRequest) -> EdgeResponse:
        if request.path == "/fault":
            raise RuntimeError("a fault of the handler's")
        told = f"{request.method} {request.path}?{request.query}"
        self.asked.append(told)
        size = int(request.query) if request.path == "/large" else 0
        return EdgeResponse(200, [("x-peer", request.peer)], told.encode() + bytes(size))


class WireThread:
    """Serves as long as it is open. `path`: a Unix socket instead of a port."""

    def __init__(
        self,
        *,
        path: Path | None = None,
        trust: ProxyTrust | None = None,
        has_proxy_protocol: bool = False,
        **limits: float,
    ) -> None:
        self._limits = Limits(**limits)  # type: ignore[arg-type]  # a test's own keywords
        self._trust = trust
        self._has_proxy_protocol = has_proxy_protocol
        self._socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.address: tuple[str, int] | str = self._socket.getsockname()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.worker = EchoWorker()
        self.server = WireServer(
            self.worker, self._limits, trust=self._trust, has_proxy_protocol=self._has_proxy_protocol
        )
        await self.server.listen(self._socket)
        self._ready.set()
        await self._stop.wait()
        await self.server.drain(5)

    def connect(self) -> RawClient:
        return RawClient(self.address)

    def release(self) -> None:
        """Let the worker answer what it holds back."""
        self._loop.call_soon_threadsafe(self.worker.released.set)

    def stop(self) -> None:
        """Begin to drain."""
        self._loop.call_soon_threadsafe(self._stop.set)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self.server._clients)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(RuntimeError):  # it has drained already, and its loop is closed
            self.release()
            self.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
