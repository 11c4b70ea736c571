"""What people are shown beside the evidence: intervals, the chance to be best, and what a mistake costs.

None of this decides anything. The posteriors are Bayesian ones with a flat prior (of rates), or normal ones
(of revenue per visitor); their integrals are sums over one fixed grid, so that the same counts always
give the same figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.domains.experiments.statistics import Moments

GRID: Final = 4096
REACH: Final = 8.0
"""Standard deviations about each posterior that the grid covers."""

Z_95: Final = NormalDist().inv_cdf(0.975)


class Posterior(msgspec.Struct, frozen=True):
    """What is believed of one variant's value: its mean, its spread, and its density (as a logarithm)."""

    mean: float
    spread: float
    low: float
    high: float
    log_density: Callable[[float], float]


class Chance(msgspec.Struct, frozen=True):
    """`best`: the probability that this variant's value is the largest. `loss`: what choosing it costs.

    The loss is the expected difference to whichever is best: 0 for certain winners.
    """

    best: float
    loss: float


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a rate; all of [0, 1] without a trial."""
    if trials == 0:
        return 0.0, 1.0
    rate, z2 = successes / trials, Z_95 * Z_95
    middle = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(moments: Moments) -> tuple[float, float] | None:
    """Give the 95 % interval of a mean by the central limit theorem; None with fewer than two trials."""
    half = Z_95 * math.sqrt(moments.variance_of_mean)
    return None if half == math.inf else (moments.mean - half, moments.mean + half)


def rate_posterior(successes: int, trials: int) -> Posterior:
    """Give what is believed of a rate, all rates having been equally likely before."""
    a, b = successes + 1.0, trials - successes + 1.0
    mean = a / (a + b)
    spread = math.sqrt(mean * (1 - mean) / (a + b + 1))
    mass = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def log_density(x: float) -> float:
        return mass + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)

    return Posterior(mean, spread, 0.0, 1.0, log_density)


def mean_posterior(moments: Moments) -> Posterior:
    """Give what is believed of a mean: a normal distribution about the one that was seen."""
    mean, spread = moments.mean, math.sqrt(moments.variance_of_mean)

    def log_density(x: float) -> float:
        return -(((x - mean) / spread) ** 2) / 2 - math.log(spread * math.sqrt(2 * math.pi))

    return Posterior(mean, spread, -math.inf, math.inf, log_density)


def weigh_chances(posteriors: Sequence[Posterior]) -> list[Chance]:
    """Give each variant's chance to be best, and its expected loss.

    All spreads must be positive and finite.
    """
    low = max(min(one.mean - REACH * one.spread for one in posteriors), min(p.low for p in posteriors))
    high = min(max(one.mean + REACH * one.spread for one in posteriors), max(p.high for p in posteriors))
    step = (high - low) / GRID
    points = [low + (index + 0.5) * step for index in range(GRID)]
    masses = [_spread_over(points, one) for one in posteriors]
    below = [list(itertools.accumulate(mass)) for mass in masses]
    # Probability of being below the middle of a cell: half of the cell's own mass lies there.
    middles = [[c - m / 2 for c, m in zip(*pair, strict=True)] for pair in zip(below, masses, strict=True)]
    best = [
        sum(
            mass * math.prod(middle[cell] for other, middle in enumerate(middles) if other != index)
            for cell, mass in enumerate(masses[index])
        )
        for index in range(len(posteriors))
    ]
    highest = low + step * sum(1 - math.prod(column) for column in zip(*middles, strict=True))
    means = [sum(x * m for x, m in zip(points, mass, strict=True)) for mass in masses]
    whole = sum(best)
    return [Chance(one / whole, max(0.0, highest - mean)) for one, mean in zip(best, means, strict=True)]


def _spread_over(points: Sequence[float], posterior: Posterior) -> list[float]:
    """Give the probability of each cell of the grid; they sum to 1."""
    logs = [posterior.log_density(x) for x in points]
    top = max(logs)
    weights = [math.exp(one - top) for one in logs]
    whole = sum(weights)
    return [weight / whole for weight in weights]
