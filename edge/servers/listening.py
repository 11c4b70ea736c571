"""The sockets that a server listens on: bound by itself, or handed down by who started it.

A supervisor (deploy/edge_supervisor.py) or systemd that binds them, and lives longer than a worker,
keeps the connections that wait in their queues: a worker that ends, however it ends, leaves them to
the next. Why: deploy/decisions/0011-listening-sockets-outlive-workers.md.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edge.settings import Settings

BACKLOG: Final = 4096
OWN_SOCKETS: Final = "SWITCHYARD_OWN_SOCKETS"
"""Variable in which a supervisor hands down the descriptors of a worker's sockets, with commas."""
NEIGHBOUR_SOCKETS: Final = "SWITCHYARD_NEIGHBOUR_SOCKETS"
"""The same for the sockets of the other workers."""
PREDECESSOR: Final = "SWITCHYARD_PREDECESSOR"
"""Variable with the pid of the worker that is to be relieved."""

_FIRST_ACTIVATED: Final = 3
"""Where the descriptors begin that systemd hands down."""


class Listening(msgspec.Struct, frozen=True):
    """What a worker listens on. `neighbours`: sockets of others, looked after when those do not.

    `is_supervised`: a supervisor handed them down, and starts a successor when this worker ends.
    `predecessor`: pid of the worker that accepts on them until this one does; 0: none.
    """

    own: list[socket.socket]
    neighbours: list[socket.socket]
    is_supervised: bool = False
    predecessor: int = 0


def open_sockets(settings: Settings, environment: Mapping[str, str] = os.environ) -> Listening:
    """Take the sockets that were handed down; else bind host and port, and the path if there is one.

    Raises ValueError naming the variable that cannot be followed.
    """
    if environment.get(OWN_SOCKETS):
        own, neighbours = (_take_named(environment, name) for name in (OWN_SOCKETS, NEIGHBOUR_SOCKETS))
        predecessor = int(environment.get(PREDECESSOR) or 0)
        return Listening(own, neighbours, is_supervised=True, predecessor=predecessor)
    return Listening(take_activated(environment) or bind_all(settings, ports=1), [])


def take_activated(environment: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """Take the sockets of systemd's socket activation; none when nothing was meant for this process."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "")
    if not count.isdecimal():
        raise ValueError(f"LISTEN_FDS: {count!r} is no number (SWITCHYARD_EDGE_PORT is not used with it)")
    return _take("LISTEN_FDS", range(_FIRST_ACTIVATED, _FIRST_ACTIVATED + int(count)))


def _take_named(environment: Mapping[str, str], variable: str) -> list[socket.socket]:
    return _take(variable, (int(number) for number in environment.get(variable, "").split(",") if number))


def _take(variable: str, descriptors: Iterable[int]) -> list[socket.socket]:
    taken = []
    for descriptor in descriptors:
        try:
            bound = socket.socket(fileno=descriptor)
        except OSError as error:
            # The settings are named because run_role knows its own failures by them.
            raise ValueError(
                f"{variable}: descriptor {descriptor} is not a socket for SWITCHYARD_EDGE_PORT"
                f" or SWITCHYARD_EDGE_SOCKET ({error.strerror})"
            ) from error
        bound.set_inheritable(False)
        bound.setblocking(False)
        taken.append(bound)
    return taken


def bind_all(settings: Settings, *, ports: int) -> list[socket.socket]:
    """Bind the port, `ports` times, and behind those the path, if there is one.

    Raises ValueError naming the setting that cannot be followed.
    """
    with contextlib.ExitStack() as on_failure:
        bound: list[socket.socket] = []
        host, port = settings.edge_host, settings.edge_port
        for _ in range(ports):
            with _naming("SWITCHYARD_EDGE_HOST and SWITCHYARD_EDGE_PORT", f"{host}:{port}"):
                bound.append(on_failure.enter_context(_bind_port(host, port)))
            port = bound[0].getsockname()[1]  # port 0 is chosen once
        if settings.edge_socket:
            with _naming("SWITCHYARD_EDGE_SOCKET", settings.edge_socket):
                bound.append(on_failure.enter_context(_bind_path(Path(settings.edge_socket))))
        on_failure.pop_all()
    return bound


@contextlib.contextmanager
def _naming(variables: str, value: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{variables}: cannot listen on {value} ({error.strerror})") from error


def _bind_port(host: str, port: int) -> socket.socket:
    """Give a bound socket that shares its port with those of the other workers. Raises OSError."""
    family, kind, protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _bind_path(path: Path) -> socket.socket:
    """Give a Unix socket that listens, in the place of the one that an earlier worker left.

    It listens before it gets its name, so that no client finds it deaf. Raises OSError.
    """
    unnamed = path.with_name(f".{path.name}.{os.getpid()}")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unnamed.unlink(missing_ok=True)
        bound.bind(str(unnamed))
        bound.listen(BACKLOG)
        unnamed.replace(path)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def accept_waiting(bound: socket.socket) -> Iterator[socket.socket]:
    """Accept what waits in a socket's queue now. Raises OSError, for example without descriptors."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(BACKLOG):
            try:
                accepted, _address = bound.accept()
            except ConnectionAbortedError:  # the client has gone again
                continue
            yield accepted
