from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.process import is_port_free
from tests.deploy.supervised_edge import SupervisedEdge, assert_counted
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.processes import Client
from tests.edge.servers.raw_client import RawClient, get
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from redis.asyncio import Redis

    Start = Callable[..., SupervisedEdge]


@pytest.fixture
async def start(tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[Start]:
    await publish(redis, make_link())
    await declare_ready(redis)
    started = []

    def make(*options: str, workers: int = 2, **settings: object) -> SupervisedEdge:
        edge = SupervisedEdge(tmp_path, redis_url, *options, workers=workers, **settings)
        started.append(edge)
        return edge

    yield make
    for edge in started:
        edge.kill_all()


@contextlib.contextmanager
def visiting(edge: SupervisedEdge) -> Iterator[list[Client]]:
    """Let clients follow the link, two on connections that they keep and two on new ones."""
    clients = [Client(edge, f"{keeps}{number}", keeps=keeps) for keeps in (True, False) for number in (1, 2)]
    with contextlib.ExitStack() as visits:
        for client in clients:
            visits.enter_context(client)
        yield clients


async def served(clients: list[Client], more: int = 50) -> None:
    """Wait until each client has been redirected that many times more."""
    target = [len(client.received) + more for client in clients]
    await eventually(
        lambda: all(len(client.received) >= count for client, count in zip(clients, target, strict=True)),
        timeout_s=60,
    )


class TestReload:
    async def test_no_connection_is_refused_or_reset_and_no_request_fails(self, start: Start) -> None:
        edge = await start().up()
        first = await edge.settled()
        with visiting(edge) as clients:
            for _ in range(3):
                await served(clients)
                await edge.reload()
            await served(clients)
        assert not set(first) & set(await edge.settled())
        assert [client.unreached for client in clients] == [0] * 4
        assert [client.broken for client in clients] == [0] * 4
        assert [client.refused for client in clients] == [[]] * 4
        assert await edge.terminate() == [0]
        assert_counted(edge, *clients)

    async def test_new_settings_count_from_then_on(self, start: Start) -> None:
        edge = await start().up()
        assert edge.get("/summer")[0] == 302
        assert "answered" not in edge.log()
        await edge.reload(edge_access_log=1)
        # The old worker may still answer what came to it before it was asked to stop.
        await eventually(lambda: edge.get("/summer")[0] == 302 and "answered" in edge.log())

    async def test_workers_that_cannot_start_relieve_nobody(self, start: Start) -> None:
        edge = await start().up()
        before = await edge.settled()
        edge.write_settings(trusted_proxies="nonsense")
        edge.hang_up()
        await eventually(lambda: "The reload ends at edge-1" in edge.log(), timeout_s=30)
        assert "edge-1 ended while it started (exit code 1)" in edge.log()
        assert await edge.settled() == before
        assert edge.get("/summer")[0] == 302
        # One that dies now is started with the settings that worked.
        os.kill(before[0], signal.SIGKILL)
        await eventually(lambda: "edge-1 is back" in edge.log(), timeout_s=30)

    async def test_a_setting_that_is_wrong_is_named(self, start: Start) -> None:
        edge = await start().up()
        before = await edge.settled()
        edge.write_settings(edge_body_kb=-1)
        edge.hang_up()
        await eventually(lambda: "Nothing is reloaded: " in edge.log())
        assert "SWITCHYARD_EDGE_BODY_KB" in edge.log()
        edge.settings_file.write_text("SWITCHYARD_EDGE_BODY_KB\n")
        edge.hang_up()
        await eventually(lambda: "line 1: 'SWITCHYARD_EDGE_BODY_KB' is not a name followed" in edge.log())
        assert edge.pids == before

    async def test_what_is_bound_once_is_said(self, start: Start) -> None:
        edge = await start(workers=1).up()
        await edge.reload(edge_host="127.0.0.2")
        assert "SWITCHYARD_EDGE_HOST has changed; only a restart can follow that." in edge.log()
        assert edge.get("/summer")[0] == 302

    async def test_a_worker_without_links_relieves_nobody(self, start: Start, redis: Redis) -> None:
        edge = await start(workers=1).up()
        assert edge.get("/summer")[0] == 302
        await redis.flushall()
        edge.hang_up()
        await eventually(lambda: "links_awaited" in edge.log(), timeout_s=30)
        with visiting(edge) as clients:
            await served(clients)
        assert [client.refused for client in clients] == [[]] * 4
        await publish(redis, make_link())
        await declare_ready(redis)
        await eventually(lambda: "Reloaded." in edge.log(), timeout_s=30)

    async def test_two_at_once_are_done_one_after_the_other(self, start: Start) -> None:
        edge = await start().up()
        before = await edge.settled()
        for _ in range(5):
            edge.hang_up()
        await eventually(lambda: "Reloaded." in edge.log(), timeout_s=60)
        assert not set(before) & set(await edge.settled())
        assert await edge.terminate() == [0]

    async def test_sigterm_ends_it(self, start: Start) -> None:
        edge = await start().up()
        edge.hang_up()
        await eventually(lambda: len(edge.pids) > 2)
        pids = edge.pids
        assert await edge.terminate() == [0]
        assert not any(map(_exists, pids))
        assert "Reloaded." not in edge.log()

    async def test_without_descriptors_the_workers_go_on(self, start: Start) -> None:
        edge = await start().up()
        before = await edge.settled()
        limits = resource.prlimit(edge.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (_count_files(edge.pid), limits[1]))
        edge.hang_up()
        await eventually(lambda: "Too many open files" in edge.log())
        assert edge.pids == before
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, limits)
        await edge.reload()


class TestDeath:
    async def test_no_connection_is_refused_and_only_requests_in_flight_fail(self, start: Start) -> None:
        edge = await start().up()
        with visiting(edge) as clients:
            await served(clients)
            os.kill(edge.pids[0], signal.SIGKILL)
            await eventually(lambda: "edge-1 is back" in edge.log(), timeout_s=30)
            await served(clients)
        assert [client.unreached for client in clients] == [0] * 4
        assert all(client.broken <= 1 for client in clients)
        assert [client.refused for client in clients] == [[]] * 4
        assert await edge.terminate() == [0]
        assert_counted(edge, *clients)

    async def test_what_waits_in_the_queue_is_left_to_the_successor(self, start: Start) -> None:
        edge = await start(workers=1).up()
        (worker,) = await edge.settled()
        os.kill(worker, signal.SIGSTOP)
        with RawClient(("127.0.0.1", edge.port), timeout_s=30) as client:
            client.send(get())
            os.kill(worker, signal.SIGKILL)
            answer = await asyncio.to_thread(client.answer)
        assert answer is not None
        assert answer.status == 302

    async def test_neighbours_serve_what_a_stopped_worker_does_not(self, start: Start) -> None:
        edge = await start().up()
        stopped = (await edge.settled())[0]
        os.kill(stopped, signal.SIGSTOP)
        # The kernel gives each worker half of the connections, by a hash of their ports.
        answers = await asyncio.gather(*(asyncio.to_thread(edge.get, "/summer") for _ in range(20)))
        assert [status for status, _headers, _body in answers] == [302] * 20
        os.kill(stopped, signal.SIGCONT)
        assert await edge.terminate() == [0]

    async def test_a_worker_without_descriptors_is_not_deaf_for_ever(self, start: Start) -> None:
        edge = await start(workers=1).up()
        (worker,) = await edge.settled()
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (_count_files(worker), limits[1]))
        for _ in range(3):
            edge.get("/summer")
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
        await eventually(lambda: edge.get("/summer")[0] == 302)
        assert await edge.settled() == [worker]

    async def test_workers_end_with_a_supervisor_that_is_killed(self, start: Start) -> None:
        edge = await start().up()
        with visiting(edge) as clients:
            await served(clients)
            os.kill(edge.pid, signal.SIGKILL)
            await eventually(lambda: is_port_free(edge.port))
            edge.workers.pop().wait(10)
            await edge.up()
            await served(clients)
        assert await edge.terminate() == [0]
        assert_counted(edge, *clients)


class TestEnd:
    async def test_sigterm_finishes_what_is_under_way_and_is_repeated_to_hurry(self, start: Start) -> None:
        edge = await start(workers=1).up()
        with RawClient(("127.0.0.1", edge.port)) as client:
            client.send(get()[:-2])
            await eventually(lambda: edge.get("/summer")[0] == 302)  # the half request has been read
            os.kill(edge.pid, signal.SIGTERM)
            await eventually(lambda: is_port_free(edge.port))
            assert client.send(b"\r\n").statuses() == [302]
            pids = edge.pids
            os.kill(edge.pid, signal.SIGTERM)
            assert await asyncio.to_thread(edge.workers[0].wait, 3) == 0
        assert not any(map(_exists, pids))


class TestOptions:
    async def test_each_worker_has_a_cpu_of_its_own(self, start: Start) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        edge = await start("--pin", workers=len(cpus)).up()
        assert [os.sched_getaffinity(pid) for pid in sorted(await edge.settled())] == [{cpu} for cpu in cpus]
        await edge.reload()
        assert {min(os.sched_getaffinity(pid)) for pid in await edge.settled()} == set(cpus)

    @pytest.mark.parametrize(
        ("options", "settings", "sentence"),
        [
            (["--pin"], {"workers": 64}, "--pin: 64 workers do not fit on"),
            (["--server", "granian"], {}, "--workers needs --server wire"),
            ([], {"edge_cpu": 0}, "SWITCHYARD_EDGE_CPU is for a worker alone"),
            ([], {"edge_host": "192.0.2.1"}, "of 192.0.2.1 is taken or not allowed"),
            ([], {"edge_socket": "/nowhere/edge.sock"}, "SWITCHYARD_EDGE_SOCKET: cannot listen on /nowhere"),
        ],
    )
    async def test_what_cannot_be_is_named(
        self, start: Start, options: list[str], settings: dict[str, int], sentence: str
    ) -> None:
        edge = start(*options, **settings)
        assert await asyncio.to_thread(edge.start().wait, 30) == 2
        assert sentence in edge.log()
        assert "Traceback" not in edge.log()

    async def test_a_port_that_is_taken_is_named(self, start: Start) -> None:
        edge = start()
        with socket.create_server(("127.0.0.1", edge.port), reuse_port=True):
            assert await asyncio.to_thread(edge.start().wait, 30) == 2
        assert f"Port {edge.port} of 127.0.0.1 is taken" in edge.log()

    async def test_path_and_proxy_protocol(self, start: Start, tmp_path: Path) -> None:
        path = tmp_path / "edge.sock"
        edge = await start(edge_socket=path, edge_proxy_protocol="on").up()
        for _ in range(2):
            with RawClient(str(path)) as client:
                answer = client.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 5 80\r\n", get()).answer()
                assert answer is not None
                assert answer.status == 302
            await edge.reload()


def _count_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
