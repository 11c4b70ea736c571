"""The wire server as a process: its options, and its end."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import msgspec

from edge.journal import Journal
from edge.snapshot import SnapshotWriter
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.processes import Client, EdgeProcesses
from tests.edge.servers.raw_client import RawClient, get
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis


async def test_options(tmp_path: Path, redis_url: str, redis: Redis) -> None:
    await publish(redis, make_link())
    await declare_ready(redis)
    path, cpu = tmp_path / "edge.sock", min(os.sched_getaffinity(0))
    options = {"edge_socket": path, "edge_cpu": cpu, "edge_access_log": 1}
    edge = EdgeProcesses(tmp_path, redis_url, server="wire", **options)
    worker = edge.start()
    await edge.ready()
    assert os.sched_getaffinity(worker.pid) == {cpu}
    with RawClient(str(path)) as client:
        answer = client.send(get()).answer()
        assert answer is not None
        assert answer.status == 302
    await eventually(lambda: "/summer" in edge.log())
    assert await edge.terminate() == [0]


async def test_a_cpu_that_is_none_is_named(tmp_path: Path, redis_url: str) -> None:
    edge = EdgeProcesses(tmp_path, redis_url, server="wire", edge_cpu=9999)
    assert await asyncio.to_thread(edge.start().wait, 30) == 1
    assert "SWITCHYARD_EDGE_CPU" in edge.log()


async def test_while_redis_hangs_a_worker_that_starts_takes_no_connection_before_its_snapshot(
    tmp_path: Path,
) -> None:
    with SnapshotWriter(tmp_path / "journals.links") as writer:
        writer.write_domains({})
        writer.write({"summer": msgspec.msgpack.encode(make_link())})
        writer.finish(written_ms=1000)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        port = hanging.getsockname()[1]
        edge = EdgeProcesses(tmp_path, f"redis://127.0.0.1:{port}/0", server="wire")
        edge.start()
        with Client(edge, "a") as client:
            await eventually(lambda: len(client.received) > 50, timeout_s=20)
        edge.kill()
    assert client.refused == [], edge.log()


async def test_sigterm_under_load_journals_every_redirect(
    tmp_path: Path, redis_url: str, redis: Redis
) -> None:
    await publish(redis, make_link())
    await declare_ready(redis)
    edge = EdgeProcesses(tmp_path, redis_url, server="wire")
    edge.start()
    await edge.ready()
    with Client(edge, "a") as first, Client(edge, "b") as second:
        await eventually(lambda: len(first.received) > 50 and len(second.received) > 50)
        assert await edge.terminate() == [0]
    assert first.refused == second.refused == []
    assert "Traceback" not in edge.log()
    (folder,) = (path for path in edge.journals.iterdir() if path.is_dir())
    journal = Journal.adopt(folder)
    assert journal is not None
    journaled = sum(cut.events for cut in journal.unshipped)
    received = len(first.received) + len(second.received)
    assert received <= journaled <= received + first.broken + second.broken
