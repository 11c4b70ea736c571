"""Keeps processes alive: starts them, waits until they answer, starts them again when they die.

One thread, one event loop. The kernel tells of an ended child through SIGCHLD; a child that must
not outlive its supervisor is tied to it when it is spawned (deploy/process.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from deploy.log_file import LogFile, OurOutput
from deploy.process import Command, StartFailed, spawn
from edge.servers.listening import PREDECESSOR

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from deploy.log_file import Log

READY_TIMEOUT_S: Final = 60.0
READY_POLL_S: Final = 0.03
STABLE_AFTER_S: Final = 10.0
"""A process that lived this long starts without delay when it dies."""
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 5.0
LOG_CHECK_S: Final = 0.5


class Service(Protocol):
    """One process to keep alive."""

    @property
    def name(self) -> str:
        """Short name, as in ready.json."""

    @property
    def stop_timeout_s(self) -> float:
        """How long it may take to finish its work when it is asked to stop."""

    def prepare(self) -> None:
        """Do what must be done before each start. Raises StartFailed."""

    def command(self) -> Command:
        """Describe the process."""

    async def is_ready(self, pid: int) -> bool:
        """Tell whether the process with this pid answers."""


class Supervisor:
    """Runs services. `say`: shows a line to the person. `changed`: called when a pid changes.

    `logs`: folder of a log for each service; None: they write where we do.
    """

    def __init__(self, logs: Path | None, *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._logs = logs
        self._say = say
        self._changed = changed
        self._running: dict[str, _Running] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._child_ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._tell_child_ended)
        self._log_watch = asyncio.create_task(self._watch_logs(), name="log watch")

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each service, in the order in which they were started."""
        return {name: running.process.pid for name, running in self._running.items()}

    async def start(self, service: Service) -> None:
        """Start a service, wait until it answers, and keep it alive from then on. Raises StartFailed."""
        log = LogFile(self._logs / f"{service.name}.log") if self._logs else OurOutput()
        running = _Running(service, log, self._spawn(service, log))
        self._running[service.name] = running
        await self._await_ready(running)
        running.keeper = asyncio.create_task(self._keep_alive(running), name=f"keep {service.name}")

    async def replace(self, service: Service, *, hurry: asyncio.Event) -> None:
        """Start a successor of the same name, wait until it answers, and let the present process finish.

        The successor is told whom it relieves. Raises StartFailed when it ends or does not answer;
        then the present process goes on, and whatever keeps it alive stays as it was.
        """
        running = self._running[service.name]
        successor = _Running(
            service, running.log, self._spawn(service, running.log, relieves=running.process.pid)
        )
        try:
            await self._await_ready(successor)
            await running.let_go()
        except BaseException:  # a cancellation, too, leaves no process behind
            successor.process.kill()
            await self._wait(successor.process)
            raise
        self._running[service.name] = successor
        successor.keeper = asyncio.create_task(self._keep_alive(successor), name=f"keep {service.name}")
        self._changed()
        self._say(f"{service.name} is now process {successor.process.pid}.")
        retiring = asyncio.create_task(self._end(running, hurry), name=f"retire {service.name}")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def stop(self, name: str, *, hurry: asyncio.Event) -> None:
        """Ask a service to stop; kill it when it takes too long or `hurry` is set."""
        running = self._running.pop(name, None)
        if running is not None:
            await running.let_go()
            await self._end(running, hurry)

    async def _end(self, running: _Running, hurry: asyncio.Event) -> None:
        service, process = running.service, running.process
        if process.poll() is None:
            process.send_signal(service.command().stop_signal)
        ended = asyncio.create_task(self._wait(process))
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait(
            [ended, hurried], timeout=service.stop_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        hurried.cancel()
        if process.poll() is None:
            if not hurry.is_set():
                self._say(
                    f"{service.name} did not stop within {service.stop_timeout_s:.0f} s and was killed."
                )
            process.kill()
        await ended

    async def close(self) -> None:
        """Wait for those that were replaced, and let go of the event loop.

        Every service must have been stopped.
        """
        if self._retiring:
            await asyncio.wait(self._retiring)
        self._log_watch.cancel()
        await asyncio.wait([self._log_watch])
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def _spawn(self, service: Service, log: Log, *, relieves: int = 0) -> subprocess.Popen[bytes]:
        try:
            service.prepare()
            command = service.command()
            if relieves:
                variables = command.env | {PREDECESSOR: str(relieves)}
                command = msgspec.structs.replace(command, env=variables)
            with log.open() as output:
                return spawn(command, output)
        except OSError as error:  # no descriptors, no disk
            raise StartFailed(f"{service.name} cannot be started: {error}.") from error

    async def _await_ready(self, running: _Running) -> None:
        name, process = running.service.name, running.process
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await running.service.is_ready(process.pid):
            if process.poll() is not None:
                raise StartFailed(
                    f"{name} ended while it started ({_describe_end(process)}).\n{running.log.tail()}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{name} does not answer after {READY_TIMEOUT_S:.0f} s.\n{running.log.tail()}"
                )
            await asyncio.sleep(READY_POLL_S)

    async def _keep_alive(self, running: _Running) -> None:
        """Start the service again whenever it ends, at once the first time, then ever more slowly."""
        delay_s = 0.0
        while True:
            started = time.monotonic()
            await self._wait(running.process)
            if time.monotonic() - started > STABLE_AFTER_S:
                delay_s = 0.0
            name, end = running.service.name, _describe_end(running.process)
            pause = f" in {delay_s:.1f} s" if delay_s else ""
            self._say(f"{name} ended ({end}); starting it again{pause}.")
            if running.process.returncode > 0:
                self._say(running.log.tail(lines=3))
            await asyncio.sleep(delay_s)
            delay_s = min(max(FIRST_DELAY_S, delay_s * 2), LONGEST_DELAY_S)
            try:
                running.process = self._spawn(running.service, running.log)
            except StartFailed as error:
                self._say(str(error))
                continue
            self._changed()
            with contextlib.suppress(StartFailed):  # it ended: the next round says so
                await self._await_ready(running)
                self._say(f"{name} is back (process {running.process.pid}).")

    async def _wait(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            await self._child_ended.wait()

    def _tell_child_ended(self) -> None:
        """Wake everyone who waits for a child; each looks at its own."""
        self._child_ended.set()
        self._child_ended = asyncio.Event()

    async def _watch_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for name, running in list(self._running.items()):
                for line in running.log.read_alarms():
                    self._say(f"{name}: {line}")


class _Running:
    """A service and its present process."""

    def __init__(self, service: Service, log: Log, process: subprocess.Popen[bytes]) -> None:
        self.service = service
        self.log = log
        self.process = process
        self.keeper: asyncio.Task[None] | None = None

    async def let_go(self) -> None:
        """Keep it alive no longer."""
        if self.keeper is not None:
            self.keeper.cancel()
            await asyncio.wait([self.keeper])


def _describe_end(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
