"""What tests of every part share: free ports, and waiting for a condition."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar

from deploy.process import choose_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def free_port() -> int:
    """Give a TCP port of the loopback address that nobody listens on."""
    return choose_port()


async def eventually(
    predicate: Callable[[], Awaitable[T] | T], timeout_s: float = 10, every_s: float = 0.02
) -> T:
    """Wait until `predicate` (plain or async) gives something true, and give that back.

    Raises AssertionError with the last answer when it takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        result: T = await answer if inspect.isawaitable(answer) else answer
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"still {result!r} after {timeout_s} s: {inspect.getsource(predicate).strip()}"
            )
        await asyncio.sleep(every_s)
