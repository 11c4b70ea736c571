"""A stack for the tests of chaos: it can be killed and started again, and its parts be reached."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
from redis.asyncio import Redis

from deploy import doctor
from deploy.data_folder import DataFolder, DemoProject
from edge.status import Health
from tests.stacks import Stack, environment
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CHECKOUT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 90.0
EDGES: Final = ("edge-1", "edge-2")
SLUGS: Final = ["chaos-one", "chaos-two", "chaos-three"]


class ChaosStack(Stack):
    """`up` with two edge workers on a data folder of its own. `settings`: more SWITCHYARD_* variables."""

    def __init__(self, home: Path, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.data = home / "data"
        super().__init__(self.data / "ready.json")
        self._ports = ["--api-port", str(free_port()), "--edge-port", str(free_port())]
        self._output = home / "up.log"
        self._environment = environment() | settings
        self._up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `up` and wait until all of it answers."""
        (self.data / "ready.json").unlink(missing_ok=True)
        command = [str(CHECKOUT / "switchyard"), "up", "--data-dir", str(self.data)]
        with self._output.open("ab") as output:
            self._up = subprocess.Popen(
                [*command, "--edge-workers", str(len(EDGES)), *self._ports],
                cwd=CHECKOUT, env=self._environment, stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not (self.data / "ready.json").exists():
            assert self._up.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End `up` with a signal, and wait until it is gone."""
        assert self._up is not None
        if self._up.poll() is None:
            self._up.send_signal(number)
            self._up.wait(90)

    def said(self) -> str:
        """Give what `up` said."""
        return self._output.read_text()

    @property
    def journals(self) -> Path:
        """The folder of the journals."""
        return DataFolder(self.data).journal

    def pid(self, name: str) -> int:
        """Give the pid of a process; `up` is the supervisor itself."""
        if name == "up":
            assert self._up is not None
            return self._up.pid
        pid: int = self.ready["processes"][name]
        return pid

    async def restarted(self, name: str, pid: int) -> None:
        """Wait until the supervisor has a new process in place of `pid`."""
        await eventually(lambda: self.ready["processes"].get(name, pid) != pid, timeout_s=60)

    @property
    def shop(self) -> DemoProject:
        """The project that pages and servers report for."""
        return msgspec.convert(self.ready["project"], DemoProject)

    async def make_links(self) -> None:
        """Make the links that the visitors follow, of which one counts for the shop."""
        for slug in SLUGS:
            facts = {"project_id": str(self.shop.id)} if slug == SLUGS[0] else {}
            await self.create_link(slug, {"a": 50, "b": 50}, **facts)

    async def warm(self) -> None:
        """See to it that every edge worker has the links, the project and its key in memory.

        The kernel chooses a worker for each connection by a hash of its ports, so that forty
        connections reach both but once in 10^12 runs.
        """

        def ask_for_all() -> bool:
            with contextlib.closing(self._connect()) as edge:
                try:
                    return self._is_known(edge)
                except (OSError, http.client.HTTPException):
                    return False

        for _ in range(40):
            await eventually(lambda: asyncio.to_thread(ask_for_all), timeout_s=30)

    def _is_known(self, edge: http.client.HTTPConnection) -> bool:
        """Ask for all that there is; a report without an amount is looked up, and refused."""
        shop = self.shop
        postback = f"/_/postback?project={shop.id}&api_key={shop.key}&txid=1"
        return all(_ask(edge, f"/{slug}", "HEAD") == 302 for slug in SLUGS) and _ask(edge, postback) == 400

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.ready["edge_url"]).netloc, timeout=10)

    def health(self) -> Health | None:
        """Give the answer of /_/health; None while nobody answers."""
        return msgspec.json.decode(body, type=Health) if (body := self.get("/_/health")) else None

    def get(self, path: str) -> bytes:
        """Give the body of one of the edge's pages; empty while nobody answers."""
        with (
            contextlib.closing(self._connect()) as edge,
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            edge.request("GET", path)
            return edge.getresponse().read()
        return b""

    async def examine(self) -> doctor.Report:
        """Let the doctor look at the stack."""
        ready = self.ready
        return await doctor.examine(
            {
                "SWITCHYARD_DATABASE_URL": ready["database_url"],
                "SWITCHYARD_REDIS_URL": ready["redis_url"],
                "SWITCHYARD_API_URL": ready["api_url"],
                "SWITCHYARD_EDGE_URL": ready["edge_url"],
                "SWITCHYARD_JOURNAL_DIR": str(self.journals),
            },
            DataFolder(self.data).read_ready(),
        )

    @contextlib.asynccontextmanager
    async def database(self, name: str = "switchyard") -> AsyncIterator[asyncpg.Connection[Any]]:
        """Connect to a database of the stack's Postgres."""
        parts = urlsplit(self.ready["database_url"])
        db = await asyncpg.connect(urlunsplit(parts._replace(path=f"/{name}")), timeout=10)
        try:
            yield db
        finally:
            await db.close()

    @contextlib.asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        """Connect to the stack's Redis."""
        async with Redis.from_url(self.ready["redis_url"]) as redis:
            yield redis


def _ask(edge: http.client.HTTPConnection, path: str, method: str = "GET") -> int:
    edge.request(method, path)
    answer = edge.getresponse()
    answer.read()
    return answer.status


@contextlib.contextmanager
def chaos_stack(home: Path, **settings: str) -> Iterator[ChaosStack]:
    """Run a stack with its links; afterwards nothing of it runs any more."""
    stack = ChaosStack(home, **settings)
    try:
        stack.start()
        asyncio.run(stack.make_links())
        yield stack
    finally:
        stack.end()
        state = DataFolder(stack.data).read_state()
        # Root's database may be in a system folder: pytest's own folders are closed to others.
        if state.servers and (servers := stack.data / state.servers).is_dir():
            shutil.rmtree(servers)
