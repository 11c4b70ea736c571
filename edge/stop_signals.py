"""How a process of ours is asked to stop, and what sees to it that it does.

A server that stands still may hold up whoever waits for it, and `asyncio.wait_for`, which redis-py
awaits its sockets with, can swallow a cancellation before Python 3.12. So the end does not depend on
any of that: it has a bound of its own. Nothing is lost by it, for all that is in hand survives even
`kill -9`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def on_stop_signals(action: Callable[[], object], *, within_s: float) -> None:
    """Have `action` called in the running event loop at SIGTERM or SIGINT.

    A process that is still there `within_s` later says where it stands, and ends with exit code 1.
    """

    def stop() -> None:
        faulthandler.dump_traceback_later(within_s, exit=True)
        action()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
