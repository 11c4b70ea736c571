"""What Locust runs: `./switchyard load` starts it with the plan that it made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust import events
from locust.stats import StatsEntry

from loadtests.journeys.marketer import Marketer
from loadtests.journeys.plan import REDIRECT_NAME, Figures, Outcome, Plan, read_file, write_file
from loadtests.journeys.popularity import Popularity
from loadtests.journeys.throttle import Throttle
from loadtests.journeys.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

__all__ = ["Marketer", "Visitor"]

_cpu_before_s = 0.0


def add_options(parser: LocustArgumentParser, **_others: Any) -> None:
    """Take the names of the two files through which the command talks with us."""
    parser.add_argument("--plan", required=True, include_in_web_ui=False, help="File with the plan.")
    parser.add_argument("--outcome", required=True, include_in_web_ui=False, help="File for the outcome.")


def prepare(environment: Environment, **_others: Any) -> None:
    """Give the users their plan."""
    plan = read_file(Path(_options(environment).plan), Plan)
    Visitor.plan = Marketer.plan = plan
    Visitor.host, Marketer.host = plan.edge_url, plan.api_url
    Visitor.popularity = Popularity(len(plan.links))
    Marketer.throttle = Throttle(plan.api_requests_per_s)
    Marketer.fixed_count = plan.marketers


def start_clock(**_others: Any) -> None:
    """Leave what Locust's own start costs out of its processor time."""
    global _cpu_before_s  # noqa: PLW0603  one run per process
    _cpu_before_s = time.process_time()


def report(environment: Environment, **_others: Any) -> None:
    """Write down what happened, once the last user has stopped."""
    stats = environment.stats
    first_s, last_s = stats.total.start_time, stats.total.last_request_timestamp
    crashes = environment.runner.exceptions.values() if environment.runner else []
    reasons = [
        (f"{error.method} {error.name}: {error.error}", error.occurrences) for error in stats.errors.values()
    ]
    reasons += [(crash["msg"], crash["count"]) for crash in crashes]
    outcome = Outcome(
        visits=_sum_up(environment, lambda entry: entry.name == REDIRECT_NAME),
        api=_sum_up(environment, lambda entry: entry.name.startswith("/api/")),
        total=_sum_up(environment, lambda _entry: True),
        redirects=dict(Visitor.redirects),
        reasons=sorted(reasons, key=lambda reason: -reason[1]),
        crashes=sum(crash["count"] for crash in crashes),
        seconds=last_s - first_s if last_s else 0.0,
        locust_cpu_s=time.process_time() - _cpu_before_s,
    )
    write_file(Path(_options(environment).outcome), outcome)


def _options(environment: Environment) -> Any:
    return environment.parsed_options


def _sum_up(environment: Environment, belongs: Callable[[StatsEntry], bool]) -> Figures:
    entry = StatsEntry(environment.stats, "", "")
    for one in environment.stats.entries.values():
        if belongs(one):
            entry.extend(one)
    return Figures(
        requests=entry.num_requests,
        failures=entry.num_failures,
        p50_ms=entry.get_response_time_percentile(0.5),
        p99_ms=entry.get_response_time_percentile(0.99),
        longest_ms=entry.max_response_time,
    )


_EVENTS: Any = events
"""Locust's events have no types."""

_EVENTS.init_command_line_parser.add_listener(add_options)
_EVENTS.init.add_listener(prepare)
_EVENTS.test_start.add_listener(start_clock)
_EVENTS.quitting.add_listener(report)
