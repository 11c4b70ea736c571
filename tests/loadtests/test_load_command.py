"""`./switchyard load` on a real stack: exact counts, limits, and nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from deploy import bootstrap
from deploy.data_folder import DataFolder, Ready
from edge.contract import redis_keys
from loadtests.bench_stack import CHECKOUT, running_stack
from loadtests.journeys.ceiling import measure_ceiling
from loadtests.report import publish

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("local stack")


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    if not bootstrap.is_current(Path(sys.prefix), ["run.txt", "dev.txt"]):
        pytest.skip(
            "these tests start ./switchyard, which uses the libraries that ./switchyard test installs"
        )
    with pytest.MonkeyPatch.context() as patch:
        for name in environment().keys() ^ os.environ.keys():
            patch.delenv(name, raising=False)
        patch.setenv("SWITCHYARD_VENV", sys.prefix)
        with running_stack() as ready_file:
            yield ready_file.parent


def environment() -> dict[str, str]:
    """Give the environment without servers to use."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SWITCHYARD_")}


def load(data_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "deploy.cli", "load", "--data-dir", data_dir, *options],
        env=environment() | {"PYTHONPATH": str(CHECKOUT)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def count_links(ready: Ready) -> int:
    answer = httpx.get(f"{ready.api_url}/api/v1/public/links", headers={"X-API-Key": ready.api_key})
    total: int = answer.json()["total"]
    return total


def test_every_redirect_lands_and_limits_are_kept(data_dir: Path, tmp_path: Path) -> None:
    ready = DataFolder(data_dir).read_ready()
    assert ready is not None
    links = count_links(ready)
    report = tmp_path / "report.html"
    done = load(data_dir, "--users", "6", "--seconds", "3", "--min-rps", "1", "--html", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 visitors and 1 marketers" in done.stdout
    assert "All limits were kept." in done.stdout
    counts = re.search(r"(\d+) redirects received, (\d+) clicks landed", done.stdout)
    assert counts is not None
    assert int(counts[1]) == int(counts[2]) > 0
    for name in ("GET      /{slug} ", "PATCH    /api/v1/public/links/{id} "):
        assert name in done.stderr
    assert "<html" in report.read_text()
    assert count_links(ready) == links


def test_each_missed_limit_is_a_sentence(data_dir: Path) -> None:
    options = ["--scenario", "visitors", "--users", "2", "--seconds", "1"]
    done = load(data_dir, *options, "--min-rps", "1000000", "--api-p99-ms", "50")
    assert done.returncode == 1
    assert "--min-rps asks for 1000000." in done.stdout
    assert "--api-p99-ms 50 cannot be judged: the run has no figures for the API." in done.stdout
    assert "All limits were kept." not in done.stdout


async def test_marketers_mind_the_requests_of_the_hour(data_dir: Path) -> None:
    ready, demo = DataFolder(data_dir).read_ready(), DataFolder(data_dir).read_demo()
    assert ready is not None
    assert demo is not None
    links = count_links(ready)
    db = await asyncpg.connect(ready.database_url)
    try:
        await db.execute("UPDATE plans SET api_requests_per_hour = 200 WHERE code = 'scale'")
        async with Redis.from_url(ready.redis_url) as redis:
            await redis.delete(redis_keys.rate_limit(demo.user_id.hex, int(time.time()) // 3600))
        refused = load(data_dir, "--users", "2", "--seconds", "1")
        await db.execute("UPDATE plans SET api_requests_per_hour = 10000 WHERE code = 'scale'")
    finally:
        await db.close()
    assert refused.returncode == 2
    assert "The API allows this account 199 more requests in this hour" in refused.stderr
    assert count_links(ready) == links


def test_the_ceiling_is_measured_and_rendered(tmp_path: Path) -> None:
    ceiling = measure_ceiling(users=2, seconds=1)
    assert ceiling.outcome.total.requests > 0
    assert ceiling.outcome.reasons == []
    publish("locust", ceiling, tmp_path / "REPORT.md")
    report = (tmp_path / "REPORT.md").read_text()
    assert "`./switchyard load --ceiling --users 2 --seconds 1`" in report
    assert f"| {ceiling.outcome.total.requests:,} |" in report


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "No stack runs on "),
        (["--scenario", "robots"], "--scenario 'robots' is unknown; known are visitors, marketers, both."),
    ],
)
def test_a_run_that_cannot_start_says_why(tmp_path: Path, options: list[str], sentence: str) -> None:
    refused = load(tmp_path, *options)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
