"""Keep work going while the servers behind it come and go."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 5.0

OUTAGES: Final = (OSError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What a server that is away, slow or restarting makes a call raise; needs no traceback."""

_log = structlog.get_logger()


async def keep_running(name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run `work` until it returns with `stop` set; whenever it fails, start it again.

    The pause before a new start doubles from FIRST_DELAY_S to LONGEST_DELAY_S, and is short
    again once `work` has run for longer than the longest pause. Every failure is logged.
    """
    clock = asyncio.get_running_loop().time
    delay_s = FIRST_DELAY_S
    while not stop.is_set():
        started = clock()
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever failed, the next start may succeed
            if clock() - started > LONGEST_DELAY_S:
                delay_s = FIRST_DELAY_S
            exc_info = not isinstance(error, OUTAGES)
            _log.warning(
                "work_failed",
                work=name,
                error=f"{type(error).__name__}: {error}",
                retry_in_s=delay_s,
                exc_info=exc_info,
            )
            await sleep_unless(stop, delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)


async def sleep_unless(event: asyncio.Event, delay_s: float) -> None:
    """Sleep for `delay_s`, or until `event` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), delay_s)
