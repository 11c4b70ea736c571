"""The processes of Switchyard: `python -m deploy.roles <role>`, configured by SWITCHYARD_* variables.

Each runs until SIGTERM or SIGINT, finishes what it has in hand, and leaves. Into the file that
SWITCHYARD_READY_FILE names the pipeline's processes, which have no port to ask, write their pid once
Postgres and Redis have answered them; an edge worker, which shares its port, once it accepts.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from deploy.process import StartFailed
from edge.stop_signals import on_stop_signals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from control_plane.settings import Settings

    Run: TypeAlias = Callable[[Settings, asyncio.Event], Awaitable[None]]

STOP_S: Final = 15.0
"""When a process of the control plane that was asked to stop ends, whatever it waits for."""

READY_FILE: Final = "SWITCHYARD_READY_FILE"


def run_edge() -> None:
    """Serve redirects."""
    from edge.settings import read_settings

    settings = read_settings()
    if settings.edge_server == "wire":
        from edge.servers.wire import serve

        serve(settings, _write_pid)
    else:
        from edge.servers.rsgi import serve as serve_by_granian

        serve_by_granian(settings)


def run_api() -> None:
    """Serve the API."""
    import uvloop

    from control_plane.settings import read_settings

    uvloop.run(_serve_api(read_settings()))


def run_flusher() -> None:
    """Land events from the stream in Postgres."""
    from control_plane.pipeline.flusher import run

    _run_until_signal(run)


def run_publisher() -> None:
    """Bring changed links from Postgres to Redis."""
    from control_plane.pipeline.publisher import run

    _run_until_signal(run)


def run_jobs() -> None:
    """Do background work."""
    from control_plane.jobs.worker import run

    _run_until_signal(run)


def run_mail_catcher() -> None:
    """Catch mail and text messages, for `up`."""
    from deploy.mail_catcher import run

    async def main() -> None:
        stop = asyncio.Event()
        on_stop_signals(stop.set, within_s=STOP_S)
        await run(stop)

    asyncio.run(main())


ROLES: Final[dict[str, Callable[[], None]]] = {
    "edge": run_edge,
    "api": run_api,
    "flusher": run_flusher,
    "publisher": run_publisher,
    "jobs": run_jobs,
    "mail-catcher": run_mail_catcher,
}


def run_role(name: str) -> None:
    """Run a role to its end. Raises StartFailed when its settings are wrong."""
    try:
        ROLES[name]()
    except ValueError as error:
        if "SWITCHYARD_" not in str(error):
            raise
        raise StartFailed(str(error)) from error


async def _serve_api(settings: Settings) -> None:
    """Serve the API in this very process: one process, one pid to watch."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    from control_plane.app import create_app

    server = Server(
        create_app(),
        address=settings.api_host,
        port=settings.api_port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        # Not `warning`: at each start it says that the embedded server is experimental.
        log_level=LogLevels.error,
    )
    on_stop_signals(server.stop, within_s=STOP_S)
    await server.serve()


def _run_until_signal(run: Run) -> None:
    import uvloop

    from control_plane.logs import configure_logs
    from control_plane.settings import read_settings

    configure_logs()
    settings = read_settings()

    async def main() -> None:
        stop = asyncio.Event()
        on_stop_signals(stop.set, within_s=STOP_S)
        telling = asyncio.create_task(_tell_ready(settings))
        try:
            await run(settings, stop)
        finally:
            telling.cancel()

    uvloop.run(main())


async def _tell_ready(settings: Settings) -> None:
    """Write the ready file, if one is asked for, once both servers answer."""
    if os.environ.get(READY_FILE):
        from deploy.servers import await_postgres, await_redis

        await await_postgres(settings.database_url, math.inf)
        await await_redis(settings.redis_url, math.inf)
        _write_pid()


def _write_pid() -> None:
    """Write the ready file, if one is asked for."""
    if path := os.environ.get(READY_FILE):
        Path(path).write_text(str(os.getpid()))


if __name__ == "__main__":
    try:
        run_role(sys.argv[1])
    except StartFailed as failure:
        sys.stderr.write(f"error: {failure}\n")
        sys.exit(2)
