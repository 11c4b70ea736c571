"""`./switchyard load --ceiling`: what Locust itself can do, against a server that does nothing.

A load test cannot measure a server that is faster than this; for maxima there is
`./switchyard bench edge` with wrk.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.process import choose_port
from loadtests.bench_stack import OTHER_CORES, start_pinned, stop
from loadtests.environment import Environment, read_environment
from loadtests.journeys.locust_process import run_locust
from loadtests.journeys.plan import Outcome, Plan, PlannedLink
from loadtests.report import render_report

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
START_S: Final = 20.0


class Ceiling(msgspec.Struct, frozen=True):
    """Raw results of one call."""

    environment: Environment
    command: str
    locust: str
    users: int
    outcome: Outcome


def run(*, users: int, seconds: int, report: Path) -> None:
    """Measure, print, write results/locust.json, and render the report. Raises StartFailed."""
    ceiling = measure_ceiling(users=users, seconds=seconds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "locust.json").write_bytes(msgspec.json.format(msgspec.json.encode(ceiling), indent=1))
    report.write_text(render_report(RESULTS))
    outcome = ceiling.outcome
    sys.stdout.write(
        f"Locust made {outcome.per_second:,.0f} requests/s with {outcome.locust_cpu_s / outcome.seconds:.0%}"
        f" of a core: {outcome.total.requests / outcome.locust_cpu_s:,.0f} requests per second of its"
        " processor time. For maxima: ./switchyard bench edge.\n"
    )


def measure_ceiling(*, users: int, seconds: int) -> Ceiling:
    """Let visitors that never pause follow the one link of a constant server. Raises StartFailed."""
    with _constant_server() as url:
        plan = Plan(
            edge_url=url,
            api_url=url,
            api_key="",
            slug_prefix="",
            # The server answers every request with this one redirect.
            links=[PlannedLink(uuid.UUID(int=1), "demo", ["https://example.com/landing"], is_sticky=True)],
            marketers=0,
            api_requests_per_s=1.0,
            visitor_pause_s=(0.0, 0.0),
            unknown_share=0.0,
        )
        outcome = run_locust(plan, ["Visitor"], users=users, seconds=seconds)
    return Ceiling(
        environment=read_environment(),
        command=f"./switchyard load --ceiling --users {users} --seconds {seconds}",
        locust=version("locust"),
        users=users,
        outcome=outcome,
    )


@contextlib.contextmanager
def _constant_server() -> Iterator[str]:
    port = choose_port()
    server = start_pinned([sys.executable, "-m", "loadtests.constant_server", str(port)], OTHER_CORES)
    try:
        _await_answer(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(server)


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/")
                connection.getresponse()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
