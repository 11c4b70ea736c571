"""`bench winners`: what the rule of the winner promises, in many simulated experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtests import winner_simulation as simulation
from loadtests.environment import read_environment
from loadtests.measurements import SplitCase, WinnerCase, WinnerPower, WinnerResults
from loadtests.report import publish

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS: Final = ((50, 50), (10, 90), (34, 33, 33), (70, 20, 10), (25, 25, 25, 25), (20, 20, 20, 20, 20))
SALES: Final = 2000
REVENUE_WEIGHTS: Final = ((50, 50), (10, 90), (20, 20, 20, 20, 20))
REVENUE_SALES: Final = 1000
LIFTS: Final = ((0.05, 0.1), (0.05, 0.2), (0.05, 0.5))
NAIVE_LOOKS: Final = 50
BATCH: Final = 1000


def run(*, runs: int, report: Path) -> None:
    """Simulate, and publish the results."""
    publish(
        "winners",
        WinnerResults(
            environment=read_environment(),
            command=f"./switchyard bench winners --runs {runs}",
            cases=list_cases(runs),
            powers=[measure_power(rate, lift, max(20, runs // 5)) for rate, lift in LIFTS],
            splits=[measure_split(share, max(20, runs // 5)) for share in (0.5, 0.505, 0.51, 0.52)],
        ),
        report,
    )


def list_cases(runs: int) -> list[WinnerCase]:
    """Count false winners: by rate, by revenue with light and heavy tails, and of a repeated z-test."""
    cases = [
        WinnerCase(
            "conversion rate",
            show(weights),
            SALES,
            runs,
            simulation.count_false_winners(weights, runs=runs, sales=SALES, seed=1),
        )
        for weights in WEIGHTS
    ]
    few = max(20, runs // 10)
    cases += [
        WinnerCase(
            f"revenue, lognormal sales, sigma {sigma:.0f}",
            show(weights),
            REVENUE_SALES,
            few,
            simulation.count_false_revenue_winners(weights, sigma, runs=few, sales=REVENUE_SALES, seed=2),
        )
        for weights in REVENUE_WEIGHTS
        for sigma in (1.0, 2.0)
    ]
    naive = simulation.count_naive_winners(0.05, runs=runs, looks=NAIVE_LOOKS, batch=200, seed=3)
    return [*cases, WinnerCase("z-test at 5 %, repeated", "50, 50", 200 * NAIVE_LOOKS // 20, runs, naive)]


def measure_power(rate: float, lift: float, runs: int) -> WinnerPower:
    """Measure how many visitors it takes to find a difference."""
    most = round(20 * simulation.visitors_of_z_test(rate, lift) * rate)
    per_visitor = rate * (1 + lift / 2)
    visitors = [
        sales / per_visitor for sales in simulation.sales_until_winner(lift, runs=runs, most=most, seed=4)
    ]
    return WinnerPower(
        rate=rate,
        lift=lift,
        runs=runs,
        z_test=simulation.visitors_of_z_test(rate, lift),
        mean=sum(visitors) / runs,
        median=visitors[runs // 2],
        four_fifths=visitors[runs * 4 // 5],
    )


def measure_split(share: float, runs: int) -> SplitCase:
    """Measure how soon a skewed split is caught, and how often an honest one is."""
    most = 200_000
    found = simulation.visitors_until_mismatch(share, runs=runs, most=most, batch=BATCH, seed=5)
    caught = sum(visitors <= most for visitors in found)
    return SplitCase(share=share, runs=runs, caught=caught, most=most, median=found[runs // 2])


def show(weights: tuple[int, ...]) -> str:
    """Write weights with commas."""
    return ", ".join(map(str, weights))
