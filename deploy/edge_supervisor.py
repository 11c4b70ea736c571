"""`edge --workers N`: one process that binds the sockets and keeps N edge workers alive on them.

SIGHUP replaces the workers one after another, and no connection is refused or reset meanwhile;
SIGTERM and SIGINT let them finish. Why it is built like that:
deploy/decisions/0011-listening-sockets-outlive-workers.md.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from deploy.edge_workers import EdgeService, bind_sockets, read_edge_settings, take_sockets
from deploy.process import StartFailed, await_port_free
from deploy.settings_file import read_settings_file
from deploy.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from deploy.edge_workers import EdgeSockets
    from edge.settings import Settings

PORT_FREED_S: Final = 3.0
"""How long the port may stay taken by the dying workers of a supervisor that was killed."""

_BOUND_ONCE: Final = ("edge_host", "edge_port", "edge_socket")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. `is_pinned`: worker i runs on the i-th CPU that is allowed.

    `settings_file`: read at the start and at each reload; what it says wins over the environment.
    """

    workers: int
    is_pinned: bool
    settings_file: Path | None


def run_workers(options: Options, say: Callable[[str], None]) -> None:
    """Run edge workers until SIGTERM or SIGINT. Raises StartFailed."""
    asyncio.run(_run(options, say))


async def _run(options: Options, say: Callable[[str], None]) -> None:
    stop, hurry, reload = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def on_stop() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_stop)
    with tempfile.TemporaryDirectory(prefix="switchyard-edge-") as folder:
        workers = EdgeWorkers(options, Path(folder), say, hurry)
        await workers.run(stop, reload)


class EdgeWorkers:
    """The workers of one supervisor. `run_folder`: for what they say when they are ready."""

    def __init__(
        self, options: Options, run_folder: Path, say: Callable[[str], None], hurry: asyncio.Event
    ) -> None:
        self._options = options
        self._run_folder = run_folder
        self._say = say
        self._hurry = hurry
        self._generation = 0
        self._environment = self._read_environment()
        self._settings = self._read_settings(self._environment)
        self._cpus = sorted(os.sched_getaffinity(0))
        if options.is_pinned and options.workers > len(self._cpus):
            raise StartFailed(f"--pin: {options.workers} workers do not fit on {len(self._cpus)} CPUs.")
        self._sockets = take_sockets(options.workers) or _bind(self._settings, options.workers)
        self._supervisor = Supervisor(None, say=say, changed=lambda: None)

    def _read_environment(self) -> dict[str, str]:
        file = self._options.settings_file
        return {**os.environ, **(read_settings_file(file) if file else {})}

    def _read_settings(self, environment: dict[str, str]) -> Settings:
        """Refuse what workers under a supervisor cannot follow. Raises StartFailed."""
        settings = read_edge_settings(environment)
        if settings.edge_server != "wire":
            raise StartFailed(
                "--workers needs --server wire: Granian's workers bind their port by themselves."
            )
        if settings.edge_cpu >= 0:
            raise StartFailed("SWITCHYARD_EDGE_CPU is for a worker alone; with --workers, --pin does it.")
        return settings

    async def run(self, stop: asyncio.Event, reload: asyncio.Event) -> None:
        """Start the workers, replace them at each `reload`, stop them at `stop`. Raises StartFailed."""
        try:
            if await _unless(stop, self._start()):
                while await _unless(stop, reload.wait()):
                    reload.clear()
                    await _unless(stop, self._reload())
        finally:
            await self._stop()

    async def _start(self) -> None:
        services = self._describe_generation(self._environment)
        await asyncio.gather(*(self._supervisor.start(service) for service in services))
        places = " and ".join(self._sockets.places)
        self._say(f"{self._options.workers} edge workers listen on {places}; SIGHUP replaces them.")

    def _describe_generation(self, environment: dict[str, str]) -> list[EdgeService]:
        self._generation += 1
        run = self._run_folder / str(self._generation)
        run.mkdir()
        services = []
        for number in range(1, self._options.workers + 1):
            cpu = {"SWITCHYARD_EDGE_CPU": str(self._cpus[number - 1])} if self._options.is_pinned else {}
            services.append(EdgeService(number, self._sockets, environment | cpu, home=Path.cwd(), run=run))
        return services

    async def _reload(self) -> None:
        """Replace one worker after another; the first that cannot be replaced ends it."""
        try:
            environment = self._read_environment()
            settings = self._read_settings(environment)
            services = self._describe_generation(environment)
        except (StartFailed, OSError) as error:
            self._say(f"Nothing is reloaded: {error}")
            return
        for field in _BOUND_ONCE:
            if getattr(settings, field) != getattr(self._settings, field):
                self._say(f"SWITCHYARD_{field.upper()} has changed; only a restart can follow that.")
        for service in services:
            try:
                await self._supervisor.replace(service, hurry=self._hurry)
            except StartFailed as error:
                self._say(
                    f"{error}\nThe reload ends at {service.name}: it and those after it go on as before."
                )
                return
        self._say("Reloaded.")

    async def _stop(self) -> None:
        # First, so that each worker is the last to hold its socket and accepts what still waits there.
        self._sockets.close()
        names = list(self._supervisor.pids)
        await asyncio.gather(*(self._supervisor.stop(name, hurry=self._hurry) for name in names))
        await self._supervisor.close()


def _bind(settings: Settings, workers: int) -> EdgeSockets:
    """Bind the sockets, unless someone listens there, who would get a share of the visitors.

    Raises StartFailed.
    """
    host, port = settings.edge_host, settings.edge_port
    if port and not await_port_free(port, host, PORT_FREED_S):
        raise StartFailed(
            f"Port {port} of {host} is taken or not allowed; SWITCHYARD_EDGE_HOST and SWITCHYARD_EDGE_PORT"
            " can name others."
        )
    return bind_sockets(settings, workers)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do `work` until it is done (True) or `stop` is set, which cancels it (False)."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set() and not working.done():
        working.cancel()
        await asyncio.wait([working])
        return False
    working.result()
    return not stop.is_set()
