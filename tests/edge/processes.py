"""Edge workers as real processes, and clients that remember every redirect that they received."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import msgspec

from edge.status import Health
from tests.support import eventually, free_port

_SERVE = (
    "from edge.servers.{server} import serve; from edge.settings import read_settings; serve(read_settings())"
)


class EdgeProcesses:
    """Workers on one port with one folder of journals."""

    def __init__(self, folder: Path, redis_url: str, *, server: str = "rsgi", **settings: object) -> None:
        self.port = free_port()
        self.journals = folder / "journals"
        self._log = (folder / "edge.log").open("ab")
        self._program = _SERVE.format(server=server)
        facts = {"redis_url": redis_url, "edge_port": self.port, "journal_dir": self.journals, **settings}
        self._environment = {
            **os.environ,
            **{f"SWITCHYARD_{name.upper()}": str(value) for name, value in facts.items()},
        }
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [sys.executable, "-c", self._program],
            env=self._environment,
            cwd=Path(__file__).parents[2],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.workers.append(worker)
        return worker

    async def ready(self, workers: int = 1) -> None:
        """Wait until that many journals have an owner that is ready."""
        await eventually(lambda: self.get("/_/health/ready")[0] == 200, timeout_s=20)
        await eventually(lambda: len(list(self.journals.glob("*/counters"))) >= workers, timeout_s=20)

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def get(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask once over a connection of its own; status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        return 0, {}, b""

    def send(self, raw: bytes, *, then_end: bool = False) -> bytes:
        """Send raw bytes, and give all that comes back until the other end closes.

        `then_end`: tell the server that nothing more will come; it need not answer then.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            answer = b""
            with contextlib.suppress(OSError):
                client.sendall(raw)
                if then_end:
                    client.shutdown(socket.SHUT_WR)
                while received := client.recv(1 << 16):
                    answer += received
            return answer

    def health(self) -> Health | None:
        """Give what /_/health says; None while nobody answers."""
        status, _headers, body = self.get("/_/health")
        return msgspec.json.decode(body, type=Health) if status else None

    def lag_events(self) -> int | None:
        """Give the events that have not landed; None while nobody answers."""
        health = self.health()
        return health.events.lag_events if health else None

    async def terminate(self) -> list[int]:
        """Stop the workers in order and give their exit codes."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        return [await asyncio.to_thread(worker.wait, 30) for worker in self.workers]

    def kill(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait(10)


class Client(threading.Thread):
    """Follows one link over and over, each time with a name of its own.

    `keeps`: on a connection that it keeps as long as it can, else on a new one each time.
    """

    def __init__(self, edge: EdgeProcesses, name: str, *, keeps: bool = True) -> None:
        super().__init__(name=name)
        self._edge = edge
        self._keeps = keeps
        self._ended = threading.Event()
        self.received: list[str] = []
        """Names of the redirects that came back."""
        self.broken = 0
        """Requests that were sent and not answered."""
        self.unreached = 0
        """Connections that could not be made."""
        self.refused: list[int] = []
        """Statuses that were no redirect."""

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._edge.port, timeout=10)
            try:
                connection.connect()
            except OSError:
                self.unreached += 1
                time.sleep(0.01)
                continue
            try:
                while not self._ended.is_set() and connection.sock is not None:
                    number += 1
                    self._ask(connection, f"{self.name}-{number}")
                    if not self._keeps:
                        break
            except (OSError, http.client.HTTPException):
                self.broken += 1
            finally:
                connection.close()

    def _ask(self, connection: http.client.HTTPConnection, name: str) -> None:
        connection.request("GET", f"/summer?r={name}")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 302:
            self.received.append(name)
        else:
            self.refused.append(answer.status)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ended.set()
        self.join()
