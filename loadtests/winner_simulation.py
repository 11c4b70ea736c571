"""Simulated experiments: how often the rule names a false winner, and how soon it finds a true one.

Chance comes from a seed, so that a run can be repeated to the digit. The rule is the one that decides over
real links (control_plane/domains/experiments/statistics.py), and it looks after every single sale.
"""

from __future__ import annotations

import itertools
import math
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from control_plane.domains.experiments.model import ALPHA, SPLIT_ALPHA
from control_plane.domains.experiments.statistics import (
    FIRST_SALES,
    Moments,
    evidence_needed,
    find_conversion_winner,
    find_revenue_winner,
    split_evidence,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECISION_BITS: Final = 24
"""Probabilities of drawn binomials are exact to 2 to the power of minus this."""


def count_false_winners(weights: Sequence[float], *, runs: int, sales: int, seed: int) -> int:
    """Run experiments without a difference; count those that ever get a winner by conversion rate."""
    rng, needed, false = Random(seed), evidence_needed(len(weights), ALPHA), 0  # noqa: S311  a simulation
    for _ in range(runs):
        conversions = [0] * len(weights)
        for variant in rng.choices(range(len(weights)), weights, k=sales):
            conversions[variant] += 1
            if find_conversion_winner(conversions, weights, needed) is not None:
                false += 1
                break
    return false


def count_false_revenue_winners(
    weights: Sequence[float], sigma: float, *, runs: int, sales: int, seed: int
) -> int:
    """Do the same by revenue, with lognormal sales; `sigma`: of their logarithm."""
    rng, needed, false = Random(seed), evidence_needed(len(weights), ALPHA), 0  # noqa: S311  a simulation
    for _ in range(runs):
        false += find_revenue(rng, weights, weights, sigma, needed, sales) is not None
    return false


def find_revenue(  # noqa: PLR0913, PLR0917  a world and a plan
    rng: Random,
    weights: Sequence[float],
    truth: Sequence[float],
    sigma: float,
    needed: float,
    sales: int,
) -> int | None:
    """Run one experiment by revenue; give after how many sales it had a winner. `truth`: where sales fall."""
    totals, squares, first = [0] * len(weights), [0] * len(weights), list[int]()
    for sold, variant in enumerate(rng.choices(range(len(weights)), truth, k=sales), 1):
        amount = max(1, round(rng.lognormvariate(8, sigma)))
        totals[variant] += amount
        squares[variant] += amount * amount
        if len(first) < FIRST_SALES:
            first.append(amount)
        if len(first) == FIRST_SALES:
            sums = [Moments(0, total, square) for total, square in zip(totals, squares, strict=True)]
            unit = sorted(first)[FIRST_SALES // 2]
            if find_revenue_winner(sums, weights, unit, needed) is not None:
                return sold
    return None


def count_naive_winners(rate: float, *, runs: int, looks: int, batch: int, seed: int) -> int:
    """Run experiments of two equal halves; count those that a z-test at 5 %, repeated, ever calls decided."""
    rng, critical, false = Random(seed), NormalDist().inv_cdf(1 - ALPHA / 2), 0  # noqa: S311  a simulation
    for _ in range(runs):
        trials, sold = [0, 0], [0, 0]
        for _ in range(looks):
            first = draw_binomial(rng, batch, 0.5)
            for variant, count in enumerate((first, batch - first)):
                trials[variant] += count
                sold[variant] += draw_binomial(rng, count, rate)
            if abs(z_score(trials, sold)) > critical:
                false += 1
                break
    return false


def z_score(trials: Sequence[int], sold: Sequence[int]) -> float:
    """Give the difference of two rates in standard errors (pooled)."""
    pooled = sum(sold) / max(1, sum(trials))
    variance = pooled * (1 - pooled) * sum(1 / max(1, count) for count in trials)
    return (sold[0] / max(1, trials[0]) - sold[1] / max(1, trials[1])) / math.sqrt(variance or 1)


def sales_until_winner(lift: float, *, runs: int, most: int, seed: int) -> list[int]:
    """Give, for experiments of two halves of which one sells `lift` more, after how many sales it won.

    In ascending order; `most` where it had not won by then.
    """
    rng, needed, found = Random(seed), evidence_needed(2, ALPHA), list[int]()  # noqa: S311  a simulation
    for _ in range(runs):
        sold = [0, 0]
        while sum(sold) < most and find_conversion_winner(sold, [50, 50], needed) != 0:
            sold[rng.random() >= (1 + lift) / (2 + lift)] += 1
        found.append(sum(sold))
    return sorted(found)


def visitors_of_z_test(rate: float, lift: float, power: float = 0.8) -> float:
    """Give the visitors that a z-test of two halves needs when it is looked at once, at 5 %, two-sided."""
    other, normal = rate * (1 + lift), NormalDist()
    mean = (rate + other) / 2
    spread = normal.inv_cdf(1 - ALPHA / 2) * math.sqrt(2 * mean * (1 - mean))
    spread += normal.inv_cdf(power) * math.sqrt(rate * (1 - rate) + other * (1 - other))
    return 2 * (spread / (other - rate)) ** 2


def visitors_until_mismatch(share: float, *, runs: int, most: int, batch: int, seed: int) -> list[int]:
    """Give after how many visitors a split planned as halves, that is `share`, is called skewed; ascending.

    Looked at after each `batch`; `most` where it had not been by then.
    """
    rng, limit, found = Random(seed), -math.log(SPLIT_ALPHA), list[int]()  # noqa: S311  a simulation
    for _ in range(runs):
        ours = seen = 0
        for seen in range(batch, most + 1, batch):
            ours += draw_binomial(rng, batch, share)
            if split_evidence([ours, seen - ours], [50, 50]) >= limit:
                break
        else:
            seen = most + 1
        found.append(seen)
    return sorted(found)


def most_false(runs: int, level: float = ALPHA, doubt: float = 0.001) -> int:
    """Give the most successes out of `runs` that a probability of `level` explains, but for a `doubt`."""
    tail, chance = 1.0, (1 - level) ** runs
    for count in itertools.count():
        tail -= chance
        if tail <= doubt:
            return count
        chance *= (runs - count) / (count + 1) * level / (1 - level)
    raise AssertionError


def draw_binomial(rng: Random, trials: int, probability: float) -> int:
    """Draw how many of `trials` succeed, all of them at once: a bit for each.

    Where the next binary digit of the probability is 1, random bits are or-ed in, else and-ed.
    """
    if trials == 0:
        return 0
    digits, bits = round(probability * (1 << PRECISION_BITS)), 0
    for place in range(PRECISION_BITS):
        fresh = rng.getrandbits(trials)
        bits = bits | fresh if digits >> place & 1 else bits & fresh
    return bits.bit_count()
