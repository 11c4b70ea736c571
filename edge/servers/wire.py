"""An HTTP/1.1 server for the edge alone: uvloop protocols over llhttp (httptools).

One process, one worker. Several workers are several processes on one port (SO_REUSEPORT), so each
can die and start again alone; deploy/ keeps them alive, and the sockets with them. Why there is a
server of our own: deploy/decisions/0008-own-http-server.md. TLS belongs to the proxy in front
(deploy/proxies/).
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
import uvloop

from edge.request import ProxyTrust
from edge.servers.listening import open_sockets
from edge.servers.wire_server import WireServer, read_limits
from edge.stop_signals import on_stop_signals
from edge.worker import STOP_S, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.servers.listening import Listening
    from edge.servers.wire_server import Limits
    from edge.settings import Settings

log = structlog.get_logger()

DRAIN_S: Final = 10.0
"""How long requests in flight may take when the worker stops: as long as a header may take to come."""
LAST_REQUEST_S: Final = 2.0
"""How long a connection without a request may still send its last one then."""
LINKS_S: Final = 1.0
"""How long a worker that starts waits for Redis to have every link."""
SNAPSHOT_S: Final = 10.0
"""How long it waits for its snapshot, which may be large, and counts once a Redis that hangs is given up on.

Connections that were taken before would be refused links that this host has.
"""
LINKS_POLL_S: Final = 0.01
OWN_FILES: Final = 200
"""Files that a worker keeps open besides its connections: journals, sockets, Redis, logs."""


def serve(settings: Settings, tell_accepting: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered, the journal is shipped.

    `tell_accepting`: called when connections are taken. Raises ValueError naming the setting that
    cannot be followed.
    """
    if settings.edge_cpu >= 0:
        _pin(settings.edge_cpu)
    uvloop.run(_serve(settings, open_sockets(settings), tell_accepting))


async def _serve(settings: Settings, listening: Listening, tell_accepting: Callable[[], None]) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set, within_s=STOP_S)
    if listening.is_supervised:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the supervisor, whoever gets it as well
    worker = Worker(settings)
    server = WireServer(
        worker,
        _fit_open_files(read_limits(settings)),
        trust=ProxyTrust(settings.trusted_proxies),
        log_share=settings.edge_access_log,
        has_proxy_protocol=settings.edge_proxy_protocol == "on",
    )
    worker.start()
    try:
        await _await_links(worker, listening.predecessor, stop)
        if not stop.is_set():
            for bound in listening.own:
                await server.listen(bound)
            server.look_after(listening.neighbours)
            tell_accepting()
        await stop.wait()
        await server.drain(DRAIN_S, LAST_REQUEST_S)
    finally:
        await worker.stop()


async def _await_links(worker: Worker, predecessor: int, stop: asyncio.Event) -> None:
    """Wait until links redirect: for a moment, or as long as the one that is to be relieved lives."""
    started = time.monotonic()
    is_said = False
    while not (worker.is_ready or stop.is_set()):
        if time.monotonic() - started > (LINKS_S if worker.has_read_snapshot else SNAPSHOT_S):
            if not _is_alive(predecessor):
                return
            if not is_said:
                log.warning("links_awaited", predecessor=predecessor)
                is_said = True
        await asyncio.sleep(LINKS_POLL_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return pid > 0


def _pin(cpu: int) -> None:
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise ValueError(f"SWITCHYARD_EDGE_CPU: {cpu} is not a CPU of this process") from error


def _fit_open_files(limits: Limits) -> Limits:
    """Raise the limit of open files as far as it goes, and take no more connections than fit in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + OWN_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    connections = max(1, min(limits.connections, wanted - OWN_FILES))
    if connections < limits.connections:
        log.warning("connections_limited_by_open_files", connections=connections)
    return msgspec.structs.replace(limits, connections=connections)
