"""A small HTTP client for asking our own processes: one request per connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 5.0


class Answer(msgspec.Struct, frozen=True):
    """What came back. `status` 0: nothing answered, and `body` says why."""

    status: int
    body: bytes


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Ask an http:// or https:// URL and give the whole answer."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.0", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(body)}"] if method != "GET" else []
    request = "\r\n".join([*lines, "", ""]).encode() + body
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _exchange(parts, request)
        head, _, answer_body = raw.partition(b"\r\n\r\n")
        return Answer(int(head.split(None, 2)[1]), answer_body)
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        return Answer(0, (str(error) or type(error).__name__).encode())


async def _exchange(parts: SplitResult, request: bytes) -> bytes:
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls or None)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
