"""`./switchyard up` as a person uses it: from a copy of the checkout, at a path with a space in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy import bootstrap
from tests.stacks import environment
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("local stack")

START_S = 90.0


class Stack:
    """`up` on one data folder."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self.script = checkout / "switchyard"
        self.home = home
        self.data = home / "my data"
        self.ports = ["--api-port", str(free_port()), "--edge-port", str(free_port())]
        self.output = home / "up.log"
        self.up: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.script, *arguments],
            cwd=self.home,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self) -> None:
        """Start, naming the data folder relative to where we stand, and wait for ready.json."""
        (self.data / "ready.json").unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.up = subprocess.Popen(
                [self.script, "up", "--data-dir", "my data", "--edge-workers", "2", *self.ports],
                cwd=self.home, env=environment(), stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not (self.data / "ready.json").exists():
            assert self.up.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.up is not None
        self.up.send_signal(number)
        return self.up.wait(60)

    def said(self) -> str:
        return self.output.read_text()

    def follow(self) -> httpx.Response:
        return httpx.get(self.ready["demo_link"])

    @property
    def ready(self) -> dict[str, Any]:
        ready: dict[str, Any] = json.loads((self.data / "ready.json").read_text())
        return ready

    def count_clicks(self) -> int:
        headers = {"X-API-Key": self.ready["api_key"]}
        links = httpx.get(f"{self.ready['api_url']}/api/v1/public/links", headers=headers).json()
        link = next(link for link in links["items"] if self.ready["demo_link"].endswith(f"/{link['slug']}"))
        url = f"{self.ready['api_url']}/api/v1/public/links/{link['id']}/clicks"
        total: int = httpx.get(url, headers=headers).json()["total"]
        return total


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not bootstrap.is_current(Path(sys.prefix), ["run.txt", "dev.txt"]):
        pytest.skip(
            "these tests start ./switchyard, which uses the libraries that ./switchyard test installs"
        )
    copy = tmp_path_factory.mktemp("with a space") / "switch yard"
    ignored = shutil.ignore_patterns(".*", "var", "__pycache__", "results")
    shutil.copytree(bootstrap.CHECKOUT, copy, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def stack(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(checkout, tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
        stack.stop()
    finally:
        # Root's database may be in a system folder: pytest's own folders are closed to others.
        state = stack.data / "state.json"
        if state.exists() and (servers := json.loads(state.read_text())["servers"]):
            shutil.rmtree(stack.data / servers)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_a_followed_link_becomes_a_click(stack: Stack) -> None:
    before = stack.count_clicks()
    answers = [stack.follow() for _ in range(20)]
    assert {answer.status_code for answer in answers} == {302}
    assert {answer.headers["location"].partition("?")[0] for answer in answers} <= {
        "https://example.com/",
        "https://example.org/",
    }
    await expect_clicks(stack, before + 20)


def test_prints_what_to_try(stack: Stack) -> None:
    said = stack.said()
    assert stack.ready["api_key"] in said
    assert f"curl -i {stack.ready['demo_link']}" in said


async def test_the_demo_link_and_the_key_are_of_one_project(stack: Stack) -> None:
    project = stack.ready["project"]
    clicks = f"{stack.ready['api_url']}/v1/clicks?project_id={project['id']}"

    def count() -> int:
        answer = httpx.get(clicks, headers={"Authorization": f"Bearer {project['key']}"})
        total: int = answer.raise_for_status().json()["pagination"]["total"]
        return total

    before = count()
    stack.follow()
    await eventually(lambda: count() == before + 1, timeout_s=60)


async def test_a_winner_takes_all_visitors_until_it_is_taken_back(stack: Stack) -> None:
    ready = stack.ready
    headers, links = {"X-API-Key": ready["api_key"]}, f"{ready['api_url']}/api/v1/public/links"

    def hosts() -> set[str]:
        return {httpx.URL(stack.follow().headers["location"]).host for _ in range(30)}

    async with httpx.AsyncClient(headers=headers) as api:
        (link,) = (await api.get(links)).raise_for_status().json()["items"]
        winner = f"{links}/{link['id']}/winner"
        (await api.post(winner, json={"variant": "B"})).raise_for_status()
        await eventually(lambda: hosts() == {"example.org"})
        (await api.delete(winner)).raise_for_status()
        await eventually(lambda: hosts() == {"example.com", "example.org"})


def test_what_would_be_mailed_is_shown(stack: Stack) -> None:
    assert f"Mail       {stack.ready['mail_url']}" in stack.said()
    assert httpx.get(f"{stack.ready['mail_url']}/messages.json").json() == []


def test_ready_file_is_complete_and_private(stack: Stack) -> None:
    ready = stack.ready
    assert {
        "api_url",
        "edge_url",
        "api_key",
        "token",
        "demo_link",
        "project",
        "database_url",
        "redis_url",
    } < ready.keys()
    assert list(ready["processes"]) == [
        "postgres", "valkey", "mail-catcher", "publisher", "flusher", "jobs", "api", "edge-1", "edge-2",
    ]  # fmt: skip
    assert all(is_running(pid) for pid in ready["processes"].values())
    assert (stack.data / "ready.json").stat().st_mode & 0o077 == 0
    assert (stack.data / "secrets").stat().st_mode & 0o077 == 0


def test_no_secret_is_on_a_command_line(stack: Stack) -> None:
    known = json.loads((stack.data / "secrets").read_text()).values()
    for pid in stack.ready["processes"].values():
        words = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(secret in words for secret in known)


def test_token_manages_keys(stack: Stack) -> None:
    token = stack.run("token", "--data-dir", str(stack.data)).stdout.strip()
    for bearer in (token, stack.ready["token"]):
        url = f"{stack.ready['api_url']}/api/v1/public/keys"
        assert httpx.get(url, headers={"Authorization": f"Bearer {bearer}"}).status_code == 200


def test_doctor_finds_all_well(stack: Stack) -> None:
    examined = stack.run("doctor", "--json", "--data-dir", str(stack.data))
    report = json.loads(examined.stdout)
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert examined.returncode == 0


@pytest.mark.parametrize("name", ["valkey", "postgres", "flusher", "edge-1", "api"])
async def test_a_killed_process_comes_back(stack: Stack, name: str) -> None:
    before = stack.count_clicks()
    pid = stack.ready["processes"][name]
    os.kill(pid, signal.SIGKILL)
    assert await eventually(lambda: stack.ready["processes"][name] != pid)
    assert await eventually(lambda: is_running(stack.ready["processes"][name]))
    assert f"{name} ended (killed by SIGKILL); starting it again" in stack.said()

    unheard = 0

    def redirects() -> bool:
        nonlocal unheard
        try:
            return stack.follow().status_code == 302
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            # Cut off, or out of time on a busy machine: the click may be written down all the same.
            unheard += 1
            return False

    assert await eventually(redirects, timeout_s=30)
    await expect_clicks(stack, before + 1, unheard=unheard)


async def expect_clicks(stack: Stack, expected: int, *, unheard: int = 0) -> None:
    """Wait until that many clicks have landed, and see that there are no more.

    `unheard`: clicks that may have been written down without a visitor who heard of it.
    """
    await eventually(lambda: (count_if_up(stack) or 0) >= expected, timeout_s=60)
    await eventually(lambda: has_no_lag(stack), timeout_s=60)
    assert expected <= stack.count_clicks() <= expected + unheard


def has_no_lag(stack: Stack) -> bool:
    """Tell whether all that was journaled is in Postgres; False while the edge is on its way back."""
    try:
        events = httpx.get(f"{stack.ready['edge_url']}/_/health").json()["events"]
    except (httpx.TransportError, ValueError):
        return False
    return bool(events["lag_events"] == 0)


def count_if_up(stack: Stack) -> int | None:
    """Count clicks; None while API or database are on their way back."""
    try:
        return stack.count_clicks()
    except (httpx.TransportError, KeyError, ValueError):
        return None


def test_second_up_on_the_same_folder_is_refused(stack: Stack) -> None:
    refused = stack.run("up", "--data-dir", "my data", "--api-port", "0", "--edge-port", "0")
    assert refused.returncode == 2
    assert "Another ./switchyard up runs on" in refused.stderr
    assert stack.ready["processes"]


@pytest.mark.parametrize("option", ["--api-port", "--edge-port"])
def test_taken_port_is_named(stack: Stack, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        other = "--edge-port" if option == "--api-port" else "--api-port"
        refused = stack.run("up", "--ephemeral", option, port, other, "0")
    assert refused.returncode == 2
    assert f"Port {port} is taken" in refused.stderr
    assert option in refused.stderr


async def test_goes_on_with_its_data(stack: Stack) -> None:
    before, clicks = stack.ready, stack.count_clicks()
    for _ in range(10):
        stack.follow()
    assert stack.stop() == 0
    assert not (stack.data / "ready.json").exists()
    assert not any(is_running(pid) for pid in before["processes"].values())
    stack.start()
    after = stack.ready
    assert (after["api_key"], after["demo_link"]) == (before["api_key"], before["demo_link"])
    await expect_clicks(stack, clicks + 10)


async def test_nothing_outlives_a_killed_up(stack: Stack) -> None:
    processes, clicks = stack.ready["processes"], stack.count_clicks()
    assert stack.follow().status_code == 302
    stack.stop(signal.SIGKILL)
    assert await eventually(lambda: not any(is_running(pid) for pid in processes.values()), timeout_s=30)
    stack.start()
    await expect_clicks(stack, clicks + 1)


def test_newer_data_folder_is_refused(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"layout": 99}')
    refused = stack.run("up", "--data-dir", str(tmp_path), "--api-port", "0", "--edge-port", "0")
    assert refused.returncode == 2
    assert "start a newer version" in refused.stderr


def test_ephemeral_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    up = subprocess.Popen(
        [stack.script, "up", "--ephemeral", "--api-port", "0", "--edge-port", "0"],
        env=environment() | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert up.stdout is not None
    for line in up.stdout:
        if "Ctrl-C stops it" in line:
            break
    (home,) = tmp_path.glob("switchyard-*")
    servers = home / "data" / json.loads((home / "data" / "state.json").read_text())["servers"]
    assert (servers / "postgres").is_dir()
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    up.stdout.close()
    assert not servers.exists()
    assert not home.exists()
