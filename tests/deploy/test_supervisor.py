from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.process import Command, StartFailed
from deploy.supervisor import Supervisor
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Script:
    """A service that runs a few lines of Python; it is ready once it has made the file `ready`."""

    stop_timeout_s = 20.0

    def __init__(self, folder: Path, lines: str, name: str = "script") -> None:
        self.name = name
        self.ready_file = folder / f"{name}.ready"
        self._folder = folder
        self._lines = (
            f"import pathlib, signal, sys, time\nready = pathlib.Path({str(self.ready_file)!r})\n{lines}"
        )

    def prepare(self) -> None:
        self.ready_file.unlink(missing_ok=True)

    def command(self) -> Command:
        return Command(argv=(sys.executable, "-c", self._lines), env={}, cwd=self._folder)

    async def is_ready(self, pid: int) -> bool:
        return pid > 0 and self.ready_file.exists()


SERVE = "ready.touch()\ntime.sleep(600)"


class Person:
    """Whoever reads what the supervisor says."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changes = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def note_change(self) -> None:
        self.changes += 1


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
async def supervisor(tmp_path: Path, person: Person) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, say=person.say, changed=person.note_change)
    yield supervisor
    for name in list(supervisor.pids):
        await supervisor.stop(name, hurry=asyncio.Event())
    await supervisor.close()


async def test_killed_process_is_started_again_and_that_is_said(
    supervisor: Supervisor, person: Person, tmp_path: Path
) -> None:
    await supervisor.start(Script(tmp_path, SERVE))
    pid = supervisor.pids["script"]
    os.kill(pid, signal.SIGKILL)
    assert await eventually(lambda: supervisor.pids["script"] != pid)
    assert await eventually(lambda: any("is back" in line for line in person.lines))
    assert person.lines[0] == "script ended (killed by SIGKILL); starting it again."
    assert person.changes == 1


async def test_second_death_in_a_row_waits(supervisor: Supervisor, person: Person, tmp_path: Path) -> None:
    await supervisor.start(Script(tmp_path, SERVE))
    for _ in range(2):
        pid = supervisor.pids["script"]
        os.kill(pid, signal.SIGKILL)
        assert await eventually(lambda pid=pid: supervisor.pids["script"] != pid)  # type: ignore[misc]
    assert "script ended (killed by SIGKILL); starting it again in 0.2 s." in person.lines


async def test_process_that_fails_at_its_start_is_told_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    with pytest.raises(StartFailed, match=r"ended while it started \(exit code 3\)(.|\n)*no luck today"):
        await supervisor.start(Script(tmp_path, "print('no luck today', flush=True)\nsys.exit(3)"))


async def test_program_that_is_missing_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    class Missing(Script):
        def command(self) -> Command:
            return Command(argv=("/nowhere/program",), env={}, cwd=tmp_path)

    with pytest.raises(StartFailed, match="/nowhere/program cannot be started: No such file"):
        await supervisor.start(Missing(tmp_path, ""))


class TestReplacing:
    TELL = "import os\nprint(os.environ.get('SWITCHYARD_PREDECESSOR'), flush=True)\n"

    async def test_successor_is_ready_before_the_present_process_is_asked_to_stop(
        self, supervisor: Supervisor, person: Person, tmp_path: Path
    ) -> None:
        finish = f"signal.signal(15, lambda *_: (print(ready.exists(), flush=True), sys.exit()))\n{SERVE}"
        await supervisor.start(Script(tmp_path, finish))
        pid = supervisor.pids["script"]
        await supervisor.replace(Script(tmp_path, self.TELL + SERVE), hurry=asyncio.Event())
        successor = supervisor.pids["script"]
        assert successor != pid
        assert person.lines == [f"script is now process {successor}."]
        assert person.changes == 1
        log = tmp_path / "script.log"
        assert await eventually(lambda: log.read_text() == f"{pid}\nTrue\n")
        os.kill(successor, signal.SIGKILL)  # it is kept alive in its turn, and relieves nobody then
        assert await eventually(lambda: log.read_text() == f"{pid}\nTrue\nNone\n")

    async def test_successor_that_ends_leaves_all_as_it_was(
        self, supervisor: Supervisor, tmp_path: Path
    ) -> None:
        await supervisor.start(Script(tmp_path, SERVE))
        pid = supervisor.pids["script"]
        with pytest.raises(StartFailed, match=r"script ended while it started \(exit code 3\)"):
            await supervisor.replace(Script(tmp_path, "sys.exit(3)"), hurry=asyncio.Event())
        assert supervisor.pids["script"] == pid
        os.kill(pid, signal.SIGKILL)
        assert await eventually(lambda: supervisor.pids["script"] != pid)

    async def test_a_process_that_ends_again_and_again_can_be_replaced(
        self, supervisor: Supervisor, person: Person, tmp_path: Path
    ) -> None:
        await supervisor.start(Script(tmp_path, "ready.touch()\nsys.exit(1)"))
        await eventually(lambda: any("again in" in line for line in person.lines))
        await supervisor.replace(Script(tmp_path, self.TELL + SERVE), hurry=asyncio.Event())
        pid = supervisor.pids["script"]
        assert person.lines[-1] == f"script is now process {pid}."
        os.kill(pid, signal.SIGKILL)
        assert await eventually(lambda: person.lines[-1].startswith("script is back"))
        assert (tmp_path / "script.log").read_text().endswith("\nNone\n")

    async def test_hurry_kills_one_that_was_replaced_and_does_not_stop(
        self, supervisor: Supervisor, tmp_path: Path
    ) -> None:
        await supervisor.start(Script(tmp_path, "signal.signal(15, signal.SIG_IGN)\n" + SERVE))
        pid = supervisor.pids["script"]
        hurry = asyncio.Event()
        await supervisor.replace(Script(tmp_path, SERVE), hurry=hurry)
        hurry.set()
        await eventually(lambda: not supervisor._retiring)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_stopping_lets_a_process_finish(supervisor: Supervisor, tmp_path: Path) -> None:
    finish = "signal.signal(15, lambda *_: (time.sleep(0.2), print('finished', flush=True), sys.exit()))\n"
    await supervisor.start(Script(tmp_path, finish + SERVE))
    await supervisor.stop("script", hurry=asyncio.Event())
    assert (tmp_path / "script.log").read_text() == "finished\n"
    assert supervisor.pids == {}


async def test_hurry_kills_a_process_that_does_not_stop(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(Script(tmp_path, "signal.signal(15, signal.SIG_IGN)\n" + SERVE))
    pid = supervisor.pids["script"]
    hurry = asyncio.Event()
    stopping = asyncio.create_task(supervisor.stop("script", hurry=hurry))
    hurry.set()
    await stopping
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_errors_in_a_log_are_shown(supervisor: Supervisor, person: Person, tmp_path: Path) -> None:
    lines = "print('[info     ] fine')\nprint('[error    ] disk on fire', flush=True)\n"
    await supervisor.start(Script(tmp_path, lines + SERVE))
    assert await eventually(lambda: person.lines)
    assert person.lines == ["script: [error    ] disk on fire"]
