"""Edge workers as a supervisor sees them: each has sockets that outlive it.

Who supervises binds one socket per worker on the same port (SO_REUSEPORT: the kernel spreads
connections by a hash) and keeps it open. A worker inherits its own, which it accepts on, and those
of its neighbours, which it looks after; see edge/servers/listening.py.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from deploy.process import Command, StartFailed
from deploy.roles import READY_FILE
from deploy.services import names_process
from edge.servers.listening import NEIGHBOUR_SOCKETS, OWN_SOCKETS, bind_all, take_activated
from edge.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edge.settings import Settings


class EdgeSockets:
    """The sockets of all workers. `bound`: of the port, and of paths, which all workers share."""

    def __init__(self, bound: list[socket.socket], workers: int) -> None:
        self._bound = bound
        ports = [one.fileno() for one in bound if one.family != socket.AF_UNIX]
        paths = [one.fileno() for one in bound if one.family == socket.AF_UNIX]
        self._variables: list[dict[str, str]] = []
        for worker in range(workers):
            own = ports[worker::workers]
            if ports and not own:  # systemd may have handed down fewer sockets than there are workers
                own = [ports[worker % len(ports)]]
            neighbours = [port for port in ports if port not in own]
            self._variables.append({OWN_SOCKETS: _join(own + paths), NEIGHBOUR_SOCKETS: _join(neighbours)})

    def describe(self, worker: int) -> dict[str, str]:
        """Give the variables that tell a worker which of them are its own."""
        return self._variables[worker]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those that are still open."""
        return tuple(one.fileno() for one in self._bound if one.fileno() >= 0)

    @property
    def places(self) -> list[str]:
        """Where they listen, in words and without repetition."""
        return list(dict.fromkeys(_describe_place(one) for one in self._bound))

    def close(self) -> None:
        """Let go of them; the workers close theirs."""
        for one in self._bound:
            one.close()


def bind_sockets(settings: Settings, workers: int) -> EdgeSockets:
    """Bind the port for each worker, and the path for all. Raises StartFailed."""
    try:
        return EdgeSockets(bind_all(settings, ports=workers), workers)
    except ValueError as error:
        raise StartFailed(f"{error}.") from error


def take_sockets(workers: int) -> EdgeSockets | None:
    """Take the sockets that systemd handed down; None when there are none. Raises StartFailed."""
    try:
        activated = take_activated()
    except ValueError as error:
        raise StartFailed(f"{error}.") from error
    return EdgeSockets(activated, workers) if activated else None


def read_edge_settings(environment: Mapping[str, str]) -> Settings:
    """Read the edge's settings. Raises StartFailed."""
    try:
        return read_settings(environment)
    except ValueError as error:
        raise StartFailed(str(error)) from error


class EdgeService:
    """One worker, ready once it accepts connections. `number`: counted from 1.

    `run`: folder of the file in which it says so; a successor needs another one.
    """

    stop_timeout_s = 30.0

    def __init__(
        self, number: int, sockets: EdgeSockets, environment: Mapping[str, str], *, home: Path, run: Path
    ) -> None:
        self.name = f"edge-{number}"
        self._sockets = sockets
        self._home = home
        self._ready_file = run / self.name
        ours = {**sockets.describe(number - 1), READY_FILE: str(self._ready_file)}
        activation = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
        self._environment = {
            name: value for name, value in environment.items() if name not in activation
        } | ours

    def prepare(self) -> None:
        """Forget that an earlier process with perhaps the same pid was ready."""
        self._ready_file.unlink(missing_ok=True)

    def command(self) -> Command:
        """Describe the worker's process."""
        argv = (sys.executable, "-P", "-m", "deploy.roles", "edge")
        return Command(argv=argv, env=self._environment, cwd=self._home, inherited=self._sockets.descriptors)

    async def is_ready(self, pid: int) -> bool:
        """Tell whether the worker accepts connections."""
        return names_process(self._ready_file, pid)


def _join(descriptors: Iterable[int]) -> str:
    return ",".join(map(str, descriptors))


def _describe_place(bound: socket.socket) -> str:
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return os.fsdecode(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
