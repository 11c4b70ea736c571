"""A stack of its own for a benchmark, with its processes on the cores where they belong.

The server under test has one core for itself; everything else, the load included, has the rest.
On a machine with one core nothing is pinned, and the figures say little.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT: Final = Path(__file__).resolve().parents[1]
START_S: Final = 120.0
ANSWER_S: Final = 20.0
LANDING_S: Final = 120.0

CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORES: Final = set(CORES[:1])
OTHER_CORES: Final = set(CORES[1:]) or SERVER_CORES


def start_pinned(command: list[str], cores: set[int], **options: Any) -> subprocess.Popen[Any]:
    """Start a process whose threads and children all run on `cores`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        return subprocess.Popen(command, cwd=CHECKOUT, **options)  # noqa: S603  our own commands
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: set[int]) -> None:
    """Move a running process with all its threads to `cores`."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
            os.sched_setaffinity(int(thread.name), cores)


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process in order."""
    process.send_signal(signal.SIGTERM)
    process.wait(60)


@contextlib.contextmanager
def running_stack(*, edge_server: str = "") -> Iterator[Path]:
    """Run `./switchyard up` on a data folder of its own; give the path of its ready.json.

    `edge_server`: which HTTP server the edge runs behind; empty for the default.
    """
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as home:
        Path(home).chmod(0o711)
        data = Path(home) / "data"
        command = [str(CHECKOUT / "switchyard"), "up", "--data-dir", str(data)]
        log = (Path(home) / "up.log").open("w+")
        stack = start_pinned(
            [*command, "--api-port", "0", "--edge-port", "0"],
            OTHER_CORES,
            stdout=log,
            stderr=log,
            env=os.environ
            | {
                "SWITCHYARD_EDGE_SERVER": edge_server,
                # All of the load comes from one address, that of the run before still among it.
                "SWITCHYARD_EDGE_CONNECTIONS_PER_ADDRESS": "20000",
            },
        )
        try:
            _await_ready(stack, data / "ready.json", Path(log.name))
            yield data / "ready.json"
        finally:
            stop(stack)
            log.close()


def _await_ready(stack: subprocess.Popen[Any], path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not path.exists():
        if stack.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the stack did not start:\n{log.read_text()}")
        time.sleep(0.05)


def read_cpu_seconds(pid: int) -> float:
    """Give the processor time of a process and of its children, dead and alive."""
    ticks = sum(map(int, _read_stat(pid)[11:15]))
    children = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and _parent_of(int(path.name)) == pid
    ]
    return ticks / os.sysconf("SC_CLK_TCK") + sum(map(read_cpu_seconds, children))


def _parent_of(pid: int) -> int:
    try:
        return int(_read_stat(pid)[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _read_stat(pid: int) -> list[str]:
    """Give the fields of /proc/<pid>/stat behind the name: state, parent and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """Keep a process from running for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def fetch(
    base_url: str, method: str, target: str, headers: dict[str, str] | None = None, body: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask once; give status, headers and body. Raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def await_answer(url: str) -> None:
    """Wait until a server that has just been started answers. Raises OSError when it does not."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            fetch(url, "GET", "/demo")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def await_landed(edge_url: str) -> dict[str, int]:
    """Wait until every event is in Postgres; give the edge's own counts (`served`, `landed`)."""
    deadline = time.monotonic() + LANDING_S
    while True:
        _status, _headers, body = fetch(edge_url, "GET", "/_/health")
        events: dict[str, int] = json.loads(body)["events"]
        if events["served"] == events["landed"] or time.monotonic() > deadline:
            return events
        time.sleep(0.02)
