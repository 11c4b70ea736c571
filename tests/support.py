"""What tests of every part share: free ports, and waiting for a condition."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, overload

from deploy.process import choose_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def free_port() -> int:
    """Give a TCP port of the loopback address that nobody listens on."""
    return choose_port()


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]], timeout_s: float = 10, every_s: float = 0.02
) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], timeout_s: float = 10, every_s: float = 0.02) -> T: ...
async def eventually(predicate: Callable[[], object], timeout_s: float = 10, every_s: float = 0.02) -> object:
    """Wait until `predicate` (plain or async) gives something true, and give that back.

    Raises AssertionError with the last answer when it takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            waited_for = inspect.getsource(predicate).strip()
            raise AssertionError(f"still {answer!r} after {timeout_s} s: {waited_for}")
        await asyncio.sleep(every_s)
