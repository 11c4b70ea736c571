"""An HTTP/1.1 server for the edge alone: uvloop protocols over llhttp (httptools).

One process, one worker. Several workers are several processes on one port (SO_REUSEPORT), so each
can die and start again alone; deploy/ keeps them alive. Why there is a server of our own:
deploy/decisions/0008-own-http-server.md. TLS belongs to the proxy in front (deploy/proxies/).
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
import uvloop

from edge.request import ProxyTrust
from edge.servers.wire_server import BACKLOG, WireServer, read_limits
from edge.stop_signals import on_stop_signals
from edge.worker import STOP_S, Worker

if TYPE_CHECKING:
    from edge.servers.wire_server import Limits
    from edge.settings import Settings

log = structlog.get_logger()

DRAIN_S: Final = 10.0
"""How long requests in flight may take when the worker stops: as long as a header may take to come."""
OWN_FILES: Final = 200
"""Files that a worker keeps open besides its connections: journals, Redis, logs."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered, the journal is shipped.

    Raises ValueError naming the setting that cannot be followed.
    """
    if settings.edge_cpu >= 0:
        _pin(settings.edge_cpu)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set, within_s=STOP_S)
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
        await server.listen(_bind_port(settings.edge_host, settings.edge_port))
        if settings.edge_socket:
            await server.listen(_bind_path(Path(settings.edge_socket)))
        await stop.wait()
        await server.drain(DRAIN_S)
    finally:
        await worker.stop()


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


def _bind_port(host: str, port: int) -> socket.socket:
    """Give a bound socket that shares its port with the other workers. Raises OSError."""
    family, kind, protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound


def _bind_path(path: Path) -> socket.socket:
    """Give a Unix socket that listens, in the place of the one that an earlier worker left.

    It listens before it gets its name, so that no client finds it deaf. Raises OSError.
    """
    unnamed = path.with_name(f".{path.name}.{os.getpid()}")
    unnamed.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(unnamed))
    bound.listen(BACKLOG)
    unnamed.replace(path)
    return bound
