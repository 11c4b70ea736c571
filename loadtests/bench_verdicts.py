"""`./switchyard bench verdicts`: machines that are recognised, and people who are taken for machines.

Machines: the examples in crawler-user-agents, the list that verdicts are passed by; so the recall says that
the list is applied as it is meant, and nothing of machines that are not on it. People: the user agents that
fake-useragent collected from the traffic of real sites, each with its share of that traffic.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]  # ships no types

from control_plane.core.user_agents import judge_user_agent
from control_plane.pipeline.verdicts import VERDICT_VERSION
from loadtests.environment import read_environment
from loadtests.measurements import VerdictResults
from loadtests.report import publish

if TYPE_CHECKING:
    from pathlib import Path


class _Browser(msgspec.Struct, frozen=True):
    """A user agent, and its share of the traffic in percent."""

    useragent: str
    percent: float


def run(*, report: Path) -> None:
    """Measure, print, and render the report."""
    machines = {text for crawler in CRAWLER_USER_AGENTS_DATA for text in crawler["instances"]}
    shares = _read_browsers()
    judge_user_agent.cache_clear()
    started = time.perf_counter()
    recognised = sum(judge_user_agent(text) is not None for text in machines)
    mistaken = [text for text in shares if judge_user_agent(text) is not None]
    seconds = time.perf_counter() - started
    results = VerdictResults(
        environment=read_environment(),
        command="./switchyard bench verdicts",
        verdict_version=VERDICT_VERSION,
        lists={name: version(name) for name in ("crawler-user-agents", "fake-useragent")},
        machines=len(machines),
        recognised=recognised,
        browsers=len(shares),
        mistaken=len(mistaken),
        mistaken_traffic=sum(shares[text] for text in mistaken) / sum(shares.values()),
        new_text_us=seconds / (len(machines) + len(shares)) * 1e6,
    )
    publish("verdicts", results, report)


def _read_browsers() -> dict[str, float]:
    """Give each real browser's user agent with its share of the traffic."""
    lines = (files("fake_useragent") / "data" / "browsers.jsonl").read_bytes().splitlines()
    shares: dict[str, float] = {}
    for line in lines:
        browser = msgspec.json.decode(line, type=_Browser)
        shares[browser.useragent] = shares.get(browser.useragent, 0) + browser.percent
    return shares
