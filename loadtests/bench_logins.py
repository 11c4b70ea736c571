"""What wrong passwords cost the visitors: redirects at a fixed rate, with and without an attack on sign-in.

Rounds take turns: one without, one with RATE sign-ins a second of nobody's address. Everything runs on the
same cores, as on a small server; only ratios within one run say anything.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

import httpx2
import msgspec

from loadtests.bench_stack import read_cpu_seconds, running_stack
from loadtests.load_client import LoadResult
from loadtests.load_generators import Target, apply_rate

if TYPE_CHECKING:
    from pathlib import Path


CONNECTIONS: Final = 64
ANSWER_S: Final = 30.0


class Attack:
    """Wrong passwords, `rate` a second, whatever is answered; `statuses` counts the answers."""

    def __init__(self, api_url: str, rate: int) -> None:
        self._url = f"{api_url}/v1/auth/login"
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.statuses: Counter[int | str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=CONNECTIONS)
        async with (
            httpx2.AsyncClient(limits=limits, timeout=ANSWER_S) as client,
            asyncio.TaskGroup() as tasks,
        ):
            loop = asyncio.get_running_loop()
            started, sent = loop.time(), 0
            while not self._stop.is_set():
                tasks.create_task(self._try(client, sent))
                sent += 1
                await asyncio.sleep(max(0.0, started + sent / self._rate - loop.time()))

    async def _try(self, client: httpx2.AsyncClient, number: int) -> None:
        body = {"tenant_slug": "demo", "email": f"nobody-{number}@example.com", "password": "a wrong one"}
        try:
            answer = await client.post(self._url, json=body)
        except httpx2.HTTPError as error:
            self.statuses[type(error).__name__] += 1
        else:
            self.statuses[answer.status_code] += 1


class Round(msgspec.Struct, frozen=True):
    """Redirects of one round without and one with the attack, and what the attack was answered."""

    calm: LoadResult
    attacked: LoadResult
    statuses: dict[str, int]
    api_cpu_share: float


def run(*, rate: int, redirects: int, seconds: int, rounds: int) -> None:
    """Measure and print. `rate`: sign-ins a second. `redirects`: visitors a second."""
    with running_stack() as ready_file:
        done = [_measure(ready_file, rate, redirects, seconds) for _ in range(rounds)]
    write = sys.stdout.write
    write(f"{redirects} redirects/s, {rate} wrong sign-ins/s, {rounds} rounds of {seconds} s\n")
    for name in ("p50_ms", "p99_ms"):
        calm = [getattr(one.calm, name) for one in done]
        attacked = [getattr(one.attacked, name) for one in done]
        ratio = statistics.median(after / before for before, after in zip(calm, attacked, strict=True))
        write(
            f"{name}: {statistics.median(calm):.2f} without, {statistics.median(attacked):.2f} with,"
            f" ratio {ratio:.2f}\n"
        )
    write(f"redirects by status: {dict(sum((Counter(one.attacked.statuses) for one in done), Counter()))}\n")
    write(f"sign-ins by status: {dict(sum((Counter(one.statuses) for one in done), Counter()))}\n")
    write(f"cores that the API took: {statistics.median(one.api_cpu_share for one in done):.2f}\n")


def _measure(ready_file: Path, rate: int, redirects: int, seconds: int) -> Round:
    ready = json.loads(ready_file.read_text())
    pids = ready["processes"]
    target = Target(url=ready["demo_link"], pid=pids["edge-1"])
    calm = apply_rate(target, rate=redirects, seconds=seconds, connections=CONNECTIONS)
    before = read_cpu_seconds(pids["api"])
    with Attack(ready["api_url"], rate) as attack:
        attacked = apply_rate(target, rate=redirects, seconds=seconds, connections=CONNECTIONS)
    cpu_share = (read_cpu_seconds(pids["api"]) - before) / (seconds + 1)
    statuses = {str(status): count for status, count in attack.statuses.items()}
    return Round(calm, attacked, statuses, cpu_share)
