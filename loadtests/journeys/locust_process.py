"""Run Locust in a process of its own, on one core, and give back what it measured."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.process import StartFailed
from loadtests.bench_stack import CHECKOUT, SERVER_CORES, start_pinned
from loadtests.journeys.plan import Outcome, read_file, write_file

if TYPE_CHECKING:
    from loadtests.journeys.plan import Plan

LOCUST_CORES: Final = SERVER_CORES
"""One core: Locust's process cannot use more. A stack of our own has the rest."""

STOP_S: Final = 10
"""How long users may finish the request that they are at: one that is cut off would go uncounted."""


def run_locust(
    plan: Plan, user_classes: list[str], *, users: int, seconds: int, html: Path | None = None
) -> Outcome:
    """Run Locust's users for `seconds`. Raises StartFailed when it measured nothing."""
    with tempfile.TemporaryDirectory(prefix="switchyard-load-") as home:
        plan_file, outcome_file = Path(home) / "plan.json", Path(home) / "outcome.json"
        write_file(plan_file, plan)
        command = [sys.executable, "-m", "locust", "--locustfile", "loadtests/journeys/locustfile.py"]
        command += ["--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
        command += ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
        command += ["--stop-timeout", str(STOP_S), "--plan", str(plan_file), "--outcome", str(outcome_file)]
        command += ["--html", str(html)] if html else []
        # Locust takes options from LOCUST_* too; a run is what its command line says, and no more.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        environment = kept | {"PYTHONPATH": str(CHECKOUT)}
        locust = start_pinned([*command, *user_classes], LOCUST_CORES, env=environment)
        try:
            code = locust.wait(seconds + STOP_S + 60)
        finally:
            locust.kill()
            locust.wait()
        try:
            return read_file(outcome_file, Outcome)
        except (OSError, msgspec.MsgspecError) as error:
            raise StartFailed(f"Locust ended with {code} and measured nothing: {error}.") from error
