"""Every process ends soon after SIGTERM, though the server that it waits for stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from control_plane.domains.api_keys.secret import make_secret
from deploy import mail_catcher
from deploy.http_probe import fetch
from deploy.roles import ROLES, STOP_S
from deploy.services import listens
from edge.contract import redis_keys
from edge.contract.events import chunk_fields
from edge.worker import STOP_S as EDGE_STOP_S
from tests.edge.factories import declare_ready, make_link, publish
from tests.pipeline.test_flusher import make_chunk, make_click
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from tests.conftest import TestServer


SLACK_S: Final = 10.0
"""What a busy machine may add to a bound; without one, processes would wait for ever."""


class Processes:
    """One process of each role, on servers of the tests."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self._folder = folder
        self.ports = {role: free_port() for role in ("api", "edge", "mail-catcher")}
        self._environment = os.environ | {
            "SWITCHYARD_DATABASE_URL": database_url,
            "SWITCHYARD_REDIS_URL": redis_url,
            "SWITCHYARD_JWT_SECRET": "s" * 32,
            "SWITCHYARD_MASTER_KEY": "00" * 32,
            "SWITCHYARD_API_PORT": str(self.ports["api"]),
            "SWITCHYARD_EDGE_PORT": str(self.ports["edge"]),
            "SWITCHYARD_JOURNAL_DIR": str(folder / "journal"),
            mail_catcher.SMTP_PORT: str(free_port()),
            mail_catcher.HTTP_PORT: str(self.ports["mail-catcher"]),
            mail_catcher.FOLDER: str(folder / "mails"),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, name: str = "") -> int:
        name = name or role
        with (self._folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "deploy.roles", role],
                env=self._environment | {"SWITCHYARD_READY_FILE": str(self._ready_file(name))},
                cwd=Path(__file__).parents[2], stdout=log, stderr=log,
            )  # fmt: skip
        return self.running[name].pid

    def _ready_file(self, name: str) -> Path:
        return self._folder / f"{name}.ready"

    def is_up(self, role: str) -> bool:
        if role in self.ports:
            return listens(self.running[role].pid, self.ports[role])
        return self._ready_file(role).exists()

    async def end(self) -> dict[str, float]:
        """Ask all to stop at once. Give how many seconds each took."""
        began = time.monotonic()
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)

        def wait(process: subprocess.Popen[bytes]) -> float:
            process.wait(EDGE_STOP_S + 2 * SLACK_S)
            return time.monotonic() - began

        took = await asyncio.gather(*(asyncio.to_thread(wait, one) for one in self.running.values()))
        return dict(zip(self.running, took, strict=True))

    def said(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()}" for log in self._folder.glob("*.log"))


@pytest.fixture
def processes(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Processes]:
    processes = Processes(tmp_path, database_url, redis_url)
    yield processes
    for process in processes.running.values():
        process.kill()
        process.wait()


@contextmanager
def standing_still(server: TestServer) -> Iterator[None]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    os.kill(server.pid, signal.SIGSTOP)
    pids = [server.pid, *map(int, children.read_text().split())]
    for pid in pids[1:]:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("stopped", ["redis", "postgres"])
async def test_every_role_ends_within_its_bound(
    processes: Processes, redis: Redis, valkey_server: TestServer, postgres_server: TestServer, stopped: str
) -> None:
    await publish(redis, make_link())
    await declare_ready(redis)
    for role in ROLES:
        processes.start(role)
    await eventually(lambda: all(map(processes.is_up, ROLES)), timeout_s=60)
    edge, api = (f"http://127.0.0.1:{processes.ports[name]}" for name in ("edge", "api"))
    await eventually(lambda: redirects(edge), timeout_s=30)
    with ExitStack() as held:
        if stopped == "postgres":
            held.enter_context(standing_still(postgres_server))
            await redis.xadd(redis_keys.events(0), chunk_fields(make_chunk(1, [make_click()])))  # type: ignore[arg-type]
            await eventually(lambda: is_in_hand(redis))
            pid = processes.start("jobs", "jobs that find Postgres so")
            await eventually(lambda: is_connected(pid, postgres_server), timeout_s=30)
        else:
            held.enter_context(standing_still(valkey_server))
            assert await redirects(edge)
        waiting = asyncio.create_task(
            fetch(
                f"{api}/api/v1/public/links", headers={"X-API-Key": make_secret("klinky_live_")}, timeout_s=60
            )
        )
        await eventually(lambda: is_connected(processes.running["api"].pid, postgres_server), timeout_s=30)
        took_s = await processes.end()
        await waiting
    bounds_s = {name: EDGE_STOP_S if name == "edge" else STOP_S for name in took_s}
    assert all(took_s[name] < bound_s + SLACK_S for name, bound_s in bounds_s.items()), processes.said()


async def redirects(edge: str) -> bool:
    return (await fetch(f"{edge}/summer")).status == 302


async def is_in_hand(redis: Redis) -> bool:
    return int((await redis.xpending(redis_keys.events(0), redis_keys.FLUSHER_GROUP))["pending"]) > 0


def is_connected(pid: int, server: TestServer) -> bool:
    """Tell whether a process has connected to a server's port."""
    port = int(server.url.rpartition("/")[0].rpartition(":")[2])
    sockets = {
        f"socket:[{fields[9]}]"
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if int(fields[2].rpartition(":")[2], 16) == port
    }
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the folder was listed
            if str(file.readlink()) in sockets:
                return True
    return False
