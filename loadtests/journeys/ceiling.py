"""`./switchyard load --ceiling`: what Locust itself can do, against a server that does nothing.

A load test cannot measure a server that is faster than this; for maxima there is
`./switchyard bench edge` with wrk.
"""

from __future__ import annotations

import sys
import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING

from loadtests.bench_stack import OTHER_CORES
from loadtests.environment import read_environment
from loadtests.journeys.locust_process import run_locust
from loadtests.journeys.plan import Plan, PlannedLink
from loadtests.measurements import LocustResults
from loadtests.reference_servers import running_constant_server
from loadtests.report import publish

if TYPE_CHECKING:
    from pathlib import Path


def run(*, users: int, seconds: int, report: Path) -> None:
    """Measure, print, write results/locust.json, and render the report. Raises StartFailed."""
    ceiling = measure_ceiling(users=users, seconds=seconds)
    publish("locust", ceiling, report)
    outcome = ceiling.outcome
    sys.stdout.write(
        f"Locust made {outcome.per_second:,.0f} requests/s with {outcome.locust_cpu_s / outcome.seconds:.0%}"
        f" of a core: {outcome.total.requests / outcome.locust_cpu_s:,.0f} requests per second of its"
        " processor time. For maxima: ./switchyard bench edge.\n"
    )


def measure_ceiling(*, users: int, seconds: int) -> LocustResults:
    """Let visitors that never pause follow the one link of a constant server. Raises StartFailed."""
    with running_constant_server(OTHER_CORES) as server:
        plan = Plan(
            edge_url=server.url,
            api_url=server.url,
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
    return LocustResults(
        environment=read_environment(),
        command=f"./switchyard load --ceiling --users {users} --seconds {seconds}",
        locust=version("locust"),
        users=users,
        outcome=outcome,
    )
