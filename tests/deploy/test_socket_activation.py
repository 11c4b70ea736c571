"""Sockets that somebody else bound and handed down, as systemd does."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.servers.listening import _take, take_activated
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.servers.raw_client import RawClient, get
from tests.stacks import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

CHECKOUT = Path(__file__).parents[2]

_HAND_DOWN = """
import os, sys
for number, descriptor in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(number - 2))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does between fork and exec."""


class Activation:
    """A port and a path, bound before there is an edge, and an edge that is started on them."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        port = socket.create_server(("127.0.0.1", 0), backlog=64)
        path = socket.socket(socket.AF_UNIX)
        path.bind(str(folder / "edge.sock"))
        path.listen()
        self._sockets = port, path
        self.addresses = [one.getsockname() for one in self._sockets]
        self._settings = {
            "SWITCHYARD_REDIS_URL": redis_url,
            "SWITCHYARD_JOURNAL_DIR": str(folder / "journals"),
            "SWITCHYARD_EDGE_PORT": "1",  # not used
        }
        self._folder = folder
        self.edges: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        # Above the descriptors that systemd uses, so that none of them is overwritten.
        descriptors = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 10) for one in self._sockets]
        command = [str(CHECKOUT / "switchyard"), "edge", "--data-dir", str(self._folder / "no stack")]
        numbers = ",".join(map(str, descriptors))
        with (self._folder / "edge.log").open("ab") as log:
            edge = subprocess.Popen(
                [sys.executable, "-c", _HAND_DOWN, numbers, *command, *options],
                env=environment() | self._settings, pass_fds=descriptors, stdout=log, stderr=log,
            )  # fmt: skip
        for descriptor in descriptors:
            os.close(descriptor)
        self.edges.append(edge)
        return edge

    def close(self) -> None:
        for edge in self.edges:
            edge.kill()
            edge.wait(10)
        for one in self._sockets:
            one.close()


@pytest.fixture
async def activation(tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[Activation]:
    await publish(redis, make_link())
    await declare_ready(redis)
    activation = Activation(tmp_path, redis_url)
    yield activation
    activation.close()


@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
async def test_who_connects_before_the_edge_runs_or_while_it_is_dead_is_served(
    activation: Activation, options: list[str]
) -> None:
    for _ in range(2):
        with (
            RawClient(activation.addresses[0], timeout_s=30) as one,
            RawClient(activation.addresses[1], timeout_s=30) as other,
        ):
            edge = activation.start(*options)
            for client in (one, other):
                answer = await asyncio.to_thread(client.send(get()).answer)
                assert answer is not None
                assert answer.status == 302
        edge.kill()
        edge.wait(10)


class TestTakeActivated:
    def test_what_was_meant_for_another_process_is_left_alone(self) -> None:
        assert take_activated({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
        assert take_activated({}) == []

    def test_a_count_that_is_none_is_named(self) -> None:
        with pytest.raises(ValueError, match="LISTEN_FDS: 'x' is no number"):
            take_activated({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"})

    def test_what_is_no_socket_is_named(self, tmp_path: Path) -> None:
        with (tmp_path / "file").open("w") as file, pytest.raises(ValueError, match="LISTEN_FDS: descriptor"):
            _take("LISTEN_FDS", [file.fileno()])
