"""`./switchyard load`: visitors and marketers at work on a stack, judged by limits."""

from __future__ import annotations

import contextlib
import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.data_folder import DataFolder
from deploy.process import StartFailed
from deploy.stack_environment import find_environment
from loadtests.bench_stack import running_stack
from loadtests.journeys.limits import Limits, find_missed
from loadtests.journeys.locust_process import run_locust
from loadtests.journeys.plan import Plan
from loadtests.journeys.seeding import LinkSeed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtests.journeys.plan import Figures, Outcome

MARKETER_SHARE: Final = 0.1
"""Share of marketers among the users of the scenario `both`."""

MOST_API_REQUESTS_PER_S: Final = 50.0
"""What marketers ask for together at most; the plan's requests per hour may allow less."""

SHARE_OF_HOUR: Final = 0.9
"""How much of the requests that are left in the hour a run may use up."""

BUSY_SHARE: Final = 0.9
"""From this share of its core on, Locust is what limits the run."""


class Scenario(StrEnum):
    """Who is at work."""

    VISITORS = "visitors"
    MARKETERS = "marketers"
    BOTH = "both"


class Target(msgspec.Struct, frozen=True):
    """The stack under load."""

    edge_url: str
    api_url: str
    api_key: str


def run(  # noqa: PLR0913  the options of the command
    scenario: Scenario,
    *,
    users: int,
    seconds: int,
    limits: Limits,
    data_dir: Path | None,
    html: Path | None,
) -> bool:
    """Run a load test and say what came of it; tell whether it kept to its limits.

    `data_dir`: of the running stack to use; None starts one that is thrown away. Raises StartFailed.
    """
    with (
        _find_target(data_dir) as target,
        LinkSeed(target.api_url, target.edge_url, target.api_key) as seed,
    ):
        plan = Plan(
            edge_url=target.edge_url,
            api_url=target.api_url,
            api_key=target.api_key,
            slug_prefix=seed.slug_prefix,
            links=seed.links,
            marketers=count_marketers(scenario, users),
            api_requests_per_s=bound_api_rate(seed.requests_left, seconds),
        )
        _say(_introduce(plan, users, seconds))
        outcome = run_locust(plan, _name_classes(plan, users), users=users, seconds=seconds, html=html)
        landed = seed.count_landed(outcome.redirects)
    missed = find_missed(limits, outcome, landed)
    _say("\n".join(_sum_up(outcome, landed)))
    if html:
        _say(f"Locust's report: {html}")
    _say("\n".join(missed) if missed else "All limits were kept.")
    return not missed


def read_scenario(name: str) -> Scenario:
    """Read the name of a scenario. Raises StartFailed."""
    try:
        return Scenario(name)
    except ValueError:
        known = ", ".join(Scenario)
        raise StartFailed(f"--scenario {name!r} is unknown; known are {known}.") from None


def count_marketers(scenario: Scenario, users: int) -> int:
    """Give how many of the users are marketers. Raises StartFailed when `both` has too few users."""
    if scenario is Scenario.VISITORS:
        return 0
    if scenario is Scenario.MARKETERS:
        return users
    if users == 1:
        raise StartFailed("--scenario both needs at least 2 users: a visitor and a marketer.")
    return max(1, round(users * MARKETER_SHARE))


def bound_api_rate(requests_left: int, seconds: int) -> float:
    """Give the requests per second that all marketers together may make."""
    return min(MOST_API_REQUESTS_PER_S, SHARE_OF_HOUR * requests_left / seconds)


@contextlib.contextmanager
def _find_target(data_dir: Path | None) -> Iterator[Target]:
    if data_dir is not None:
        ready = DataFolder(data_dir).read_ready()
        if ready is None:
            raise StartFailed(
                f"No stack runs on {data_dir}; start one: ./switchyard up --data-dir {data_dir}"
            )
        found = find_environment(data_dir)
        yield Target(found["SWITCHYARD_EDGE_URL"], found["SWITCHYARD_API_URL"], ready.api_key)
        return
    _say("Starting a stack for this run.")
    with contextlib.ExitStack() as exits:
        try:
            ready_file = exits.enter_context(running_stack())
        except RuntimeError as error:
            raise StartFailed(str(error)) from error
        started = json.loads(ready_file.read_text())
        yield Target(started["edge_url"], started["api_url"], started["api_key"])


def _name_classes(plan: Plan, users: int) -> list[str]:
    classes = ["Visitor"] if plan.marketers < users else []
    return [*classes, "Marketer"] if plan.marketers else classes


def _introduce(plan: Plan, users: int, seconds: int) -> str:
    visitors = users - plan.marketers
    line = f"{visitors} visitors and {plan.marketers} marketers for {seconds} s on {plan.edge_url}."
    if plan.marketers:
        line += (
            f"\nMarketers make at most {plan.api_requests_per_s:.1f} requests/s together:"
            " the API allows each account a number of requests per hour."
        )
    return line


def _sum_up(outcome: Outcome, landed: dict[str, int]) -> Iterator[str]:
    for name, figures in (("Redirects", outcome.visits), ("API", outcome.api), ("All", outcome.total)):
        if figures.requests:
            yield _show(name, figures, outcome.seconds)
    received = sum(outcome.redirects.values())
    yield f"Clicks     {received} redirects received, {sum(landed.values())} clicks landed"
    busy = outcome.locust_cpu_s / outcome.seconds if outcome.seconds else 0.0
    line = f"Locust     used {busy:.0%} of a core"
    yield f"{line}: it is what limited this run" if busy > BUSY_SHARE else line


def _show(name: str, figures: Figures, seconds: float) -> str:
    rate = figures.requests / seconds if seconds else 0.0
    return (
        f"{name:<10} {figures.requests} requests, {rate:.1f}/s, {figures.failures} failed;"
        f" p50 {figures.p50_ms:g} ms, p99 {figures.p99_ms:g} ms, longest {figures.longest_ms:.0f} ms"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
