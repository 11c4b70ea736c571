"""Edge workers under their supervisor, as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edge.contract.events import Click, decode_event
from tests.edge.journals import adopt, list_events
from tests.edge.processes import EdgeProcesses
from tests.support import eventually

if TYPE_CHECKING:
    from tests.edge.processes import Client

CHECKOUT = Path(__file__).parents[2]


class SupervisedEdge(EdgeProcesses):
    """`./switchyard edge --workers N`; the settings file holds what `reload` is given."""

    def __init__(
        self, folder: Path, redis_url: str, *options: str, workers: int = 2, **settings: object
    ) -> None:
        super().__init__(folder, redis_url, server="wire", **settings)
        self.settings_file = folder / "edge.env"
        self.settings_file.touch()
        self._count = workers
        self._command = [sys.executable, "-P", "-m", "deploy.cli", "edge", "--workers", str(workers)]
        self._command += [
            "--settings",
            str(self.settings_file),
            "--data-dir",
            str(folder / "no stack"),
            *options,
        ]
        self._environment |= {"PYTHONPATH": str(CHECKOUT)}
        self.reloads = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the supervisor; `workers` of the base class has it alone."""
        supervisor = subprocess.Popen(
            self._command, env=self._environment, stdout=self._log, stderr=subprocess.STDOUT
        )
        self.workers.append(supervisor)
        return supervisor

    async def up(self) -> Self:
        """Start, and wait until all workers accept."""
        supervisor = self.start()
        await eventually(
            lambda: supervisor.poll() is not None or self.log().count("SIGHUP replaces them"), timeout_s=30
        )
        assert supervisor.poll() is None, self.log()
        return self

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.workers[-1].pid

    @property
    def pids(self) -> list[int]:
        """The workers' that live, those that finish included."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children]

    async def settled(self) -> list[int]:
        """Wait until there is one process per worker, and give their pids."""
        await eventually(lambda: len(self.pids) == self._count, timeout_s=30)
        return self.pids

    def hang_up(self) -> None:
        """Send the signal that makes the supervisor reload."""
        os.kill(self.pid, signal.SIGHUP)

    async def reload(self, **settings: object) -> None:
        """Reload with these settings, and wait until every worker is replaced."""
        self.write_settings(**settings)
        done = self.log().count("Reloaded.")
        self.hang_up()
        await eventually(lambda: self.log().count("Reloaded.") > done, timeout_s=60)

    def write_settings(self, **settings: object) -> None:
        lines = [f"SWITCHYARD_{name.upper()}={value}" for name, value in settings.items()]
        self.settings_file.write_text("# written by a test\n" + "\n".join(lines) + "\n")

    def journaled(self) -> list[str]:
        """Give the names under which clients followed the link, once per click; all must have ended."""
        names = []
        for folder in self.journals.iterdir():
            if (folder / "counters").exists():
                events = [decode_event(event) for event in list_events(adopt(folder))]
                names += [click.query.removeprefix("r=") for click in events if isinstance(click, Click)]
        return names

    def kill_all(self) -> None:
        for supervisor in self.workers:
            with contextlib.suppress(ProcessLookupError):
                supervisor.kill()
            supervisor.wait(10)


def assert_counted(edge: SupervisedEdge, *clients: Client) -> None:
    """Every redirect that was received has one click, and the others were on their way to their client."""
    journaled = edge.journaled()
    received = {name for client in clients for name in client.received}
    assert len(journaled) == len(set(journaled))
    assert received <= set(journaled)
    assert len(set(journaled) - received) <= sum(client.broken for client in clients)
