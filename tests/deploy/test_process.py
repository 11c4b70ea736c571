from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.process import Command, choose_port, is_port_free, spawn
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = """
import pathlib, sys, time
from deploy.process import Command, spawn
command = Command(argv=(sys.executable, "-c", "import time; time.sleep(600)"), env={}, cwd=pathlib.Path("/"))
print(spawn(command, -3).pid, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        yield parent
        parent.kill()


async def test_child_dies_with_a_killed_parent(parent: subprocess.Popen[str]) -> None:
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    assert await eventually(lambda: not is_alive(child))


def test_child_is_out_of_reach_of_ctrl_c(tmp_path: Path) -> None:
    command = Command(argv=(sys.executable, "-c", "import time; time.sleep(600)"), env={}, cwd=tmp_path)
    child = spawn(command, subprocess.DEVNULL)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.kill()
    assert child.wait() == -signal.SIGKILL


def test_secret_goes_through_standard_input(tmp_path: Path) -> None:
    copy = "import sys; open('got', 'w').write(sys.stdin.read())"
    command = Command(argv=(sys.executable, "-c", copy), env={}, cwd=tmp_path, stdin=b"secret")
    assert spawn(command, subprocess.DEVNULL).wait() == 0
    assert (tmp_path / "got").read_text() == "secret"


class TestPorts:
    def test_listened_port_is_taken_even_if_it_would_be_shared(self) -> None:
        with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
            port = server.getsockname()[1]
            assert not is_port_free(port)
            assert choose_port(port) != port
        assert is_port_free(port)
        assert choose_port(port) == port

    def test_port_of_every_address_is_taken(self) -> None:
        with socket.create_server(("0.0.0.0", 0)) as server:
            assert not is_port_free(server.getsockname()[1])
