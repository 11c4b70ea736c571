"""Visitors at a steady pace who remember what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from tests.chaos.chaos_stack import SLUGS
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CONNECTIONS: Final = 6
ANSWER_S: Final = 5.0
"""A request that has had no answer by then counts as unanswered: something hangs."""
RECONNECT_S: Final = 0.02


class Visitors:
    """Follow the links of the stack in turn, `rate` times a second in all; reconnect when cut off."""

    def __init__(
        self, edge_url: str, *, rate: int = 240, headers: Mapping[str, str] | None = None, query: str = ""
    ) -> None:
        parts = urlsplit(edge_url)
        self._address = (parts.hostname or "", parts.port or 0)
        fields = {"Host": parts.netloc, "User-Agent": "Mozilla/5.0", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._requests = [f"GET /{slug}{query} HTTP/1.1\r\n{head}\r\n".encode() for slug in SLUGS]
        self._pause_s = CONNECTIONS / rate
        self._is_over = False
        self._last_redirect_s = time.monotonic()
        self.clicks: list[UUID] = []
        """Click ids of the redirects that came back."""
        self.slugs: dict[UUID, str] = {}
        """Which link each of them followed."""
        self.refusals: Counter[str] = Counter()
        """Answers that were no redirect: status and sentence."""
        self.broken = 0
        """Connections that were refused or ended before the answer."""
        self.unanswered = 0
        self.longest_gap_s = 0.0
        """Longest time without a redirect."""

    def __repr__(self) -> str:
        return (
            f"{len(self.clicks)} redirects, {self.broken} broken, {self.unanswered} unanswered,"
            f" refused {dict(self.refusals)}, longest gap {self.longest_gap_s:.2f} s"
        )

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while inside; at the end every request has had its answer, or its time."""
        following = [asyncio.create_task(self._follow(number)) for number in range(CONNECTIONS)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*following)

    async def redirects(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait for `count` more redirects."""
        target = len(self.clicks) + count
        await eventually(lambda: len(self.clicks) >= target, timeout_s)

    async def refused(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait for `count` more answers that are no redirect."""
        target = self.refusals.total() + count
        await eventually(lambda: self.refusals.total() >= target, timeout_s)

    def last_click(self) -> UUID | None:
        """Give the redirect that came back last."""
        return self.clicks[-1] if self.clicks else None

    @property
    def unsure(self) -> int:
        """How many requests may have been counted as clicks without a visitor who heard of it."""
        return self.broken + self.unanswered

    async def _follow(self, number: int) -> None:
        while not self._is_over:
            try:
                async with asyncio.timeout(ANSWER_S):
                    reader, writer = await asyncio.open_connection(*self._address)
            except OSError:  # TimeoutError is one
                self.broken += 1
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                while not self._is_over:
                    number += 1
                    writer.write(self._requests[number % len(self._requests)])
                    async with asyncio.timeout(ANSWER_S):
                        await self._hear(reader, SLUGS[number % len(SLUGS)])
                    await asyncio.sleep(self._pause_s)
            except TimeoutError:
                self.unanswered += 1
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
            finally:
                writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader, slug: str) -> None:
        status, fields, body = await read_answer(reader)
        if status != 302:
            self.refusals[f"{status} {body.decode().strip()}"] += 1
            return
        self.clicks.append(UUID(fields["location"].partition("?")[0].rpartition("/")[2]))
        self.slugs[self.clicks[-1]] = slug
        now_s = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now_s - self._last_redirect_s)
        self._last_redirect_s = now_s


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, header by lower-case name, body. Raises OSError, IncompleteReadError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), fields, await reader.readexactly(int(fields.get("content-length", 0)))
