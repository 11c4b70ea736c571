"""A road to Redis that can be slow, blocked, or closed: a proxy over real sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from tests.chaos.disturbances import lasting
from tests.support import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.disturbances import Disturbance


class SlowRoad:
    """Passes on what comes to `port`, to another port of the loopback address."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow road")
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def slow(self, delay_s: float) -> Disturbance:
        """Let each answer come that much later."""

        @asynccontextmanager
        async def disturb(_stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
            self._delay_s = delay_s
            async with lasting(hold_s):
                yield
            self._delay_s = 0.0

        return disturb

    @asynccontextmanager
    async def blocked(self, _stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
        """Let nothing pass, on connections that stay open, as a firewall does that forgot them."""
        self._loop.call_soon_threadsafe(self._open.clear)
        async with lasting(hold_s):
            yield
        self._loop.call_soon_threadsafe(self._open.set)

    @asynccontextmanager
    async def closed(self, _stack: ChaosStack, hold_s: float) -> AsyncIterator[None]:
        """Cut every connection, and refuse new ones."""
        self._do(self._close())
        async with lasting(hold_s):
            yield
        self._do(self._listen())

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer, is_answer=True))
        finally:
            self._writers -= {writer, back}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if is_answer:
                    await asyncio.sleep(self._delay_s)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
