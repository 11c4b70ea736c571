"""From counts to a verdict: a pure function, the same for the clock that decides and the API that shows.

Gates, in this order: something to compare, enough trials, an honest split, one currency; then the evidence;
and in the end the horizon. Each gate that is shut says so in a sentence with its figures.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

from control_plane.domains.experiments import estimates, statistics
from control_plane.domains.experiments.model import (
    ALPHA,
    HORIZON,
    LEAST_TRIALS,
    SPLIT_ALPHA,
    Judgement,
    Obstacle,
    Standing,
)
from control_plane.domains.experiments.statistics import FIRST_SALES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control_plane.domains.experiments.model import Candidate, Counts, Setup

REVENUE: Final = "revenue_per_visitor"


def judge(setup: Setup, counts: Counts) -> Judgement:
    """Say what follows from the counts of an experiment."""
    compared, needed = setup.compared, statistics.evidence_needed(max(2, len(setup.compared)), ALPHA)
    split = statistics.split_evidence(counts.trials, [one.weight for one in compared]) if compared else 0.0
    obstacles = tuple(_find_obstacles(setup, counts, split))
    winner = None if obstacles else _find_winner(setup, counts, needed)
    if winner is None and not obstacles:
        obstacles = (_undecided(setup, counts, needed),)
    ended = counts.first_trial_at is not None and counts.counted_until - counts.first_trial_at >= HORIZON
    return Judgement(
        verdict="winner" if winner else "no_winner" if ended else None,
        winner=winner,
        reason="evidence" if winner else obstacles[0].reason,
        obstacles=obstacles,
        standings=tuple(_stand(setup, counts)),
        needed=needed,
        split_evidence=split,
        split_limit=-math.log(SPLIT_ALPHA),
        currency=counts.currencies[0] if len(counts.currencies) == 1 else None,
    )


def least_trials(setup: Setup, variant: Candidate) -> int:
    """Give the trials that a variant needs: half of its planned share of the threshold, and some at least."""
    whole = sum(one.weight for one in setup.compared)
    return max(LEAST_TRIALS, math.ceil(setup.threshold * variant.weight / whole / 2))


def _find_obstacles(setup: Setup, counts: Counts, split: float) -> Iterator[Obstacle]:
    """Find what keeps the evidence from being looked at at all."""
    if len(setup.compared) < 2:  # noqa: PLR2004  one variant wins over nobody
        yield Obstacle("nothing_to_compare", "Fewer than two variants get traffic by weight.")
        return
    total = sum(counts.trials)
    if total < setup.threshold:
        if total + counts.young >= setup.threshold:
            yield Obstacle("within_lag", _say_lag(setup, counts, total))
        else:
            yield Obstacle(
                "too_few_trials",
                f"{total} of the {setup.threshold} visitors that are needed have been counted"
                + (f"; {counts.young} more are younger than the lag" if counts.young else "")
                + ".",
            )
    for variant, trials in zip(setup.compared, counts.trials, strict=True):
        least = least_trials(setup, variant)
        if trials < least:
            message = f"Variant '{variant.label}' has {trials} of the {least} visitors that it needs."
            yield Obstacle("too_few_trials", message)
    if split >= -math.log(SPLIT_ALPHA):
        seen = ", ".join(
            f"{variant.label} {count}" for variant, count in zip(setup.compared, counts.trials, strict=True)
        )
        yield Obstacle(
            "sample_ratio_mismatch",
            f"Visitors were not split by the weights ({seen}): something loses or adds visitors of some"
            " variant, so that no comparison of them is fair.",
        )
    if setup.goal == REVENUE:
        yield from _find_money_obstacles(counts)


def _find_money_obstacles(counts: Counts) -> Iterator[Obstacle]:
    if len(counts.currencies) > 1:
        message = f"Sales are in {', '.join(counts.currencies)}, and currencies are never summed."
        yield Obstacle("mixed_currencies", message)
    elif counts.unit is None:
        message = f"Fewer than {FIRST_SALES} sales have been counted."
        yield Obstacle("too_few_sales", message)


def _say_lag(setup: Setup, counts: Counts, total: int) -> str:
    return (
        f"{total} of the {setup.threshold} visitors that are needed have been counted; {counts.young} more"
        f" came within the last {setup.lag_hours} hours and count when they are older."
    )


def _undecided(setup: Setup, counts: Counts, needed: float) -> Obstacle:
    """Say how far the evidence has come: for the variant in front, against its nearest rival."""
    indexes = range(len(setup.compared))
    reached, leader, rival = max(
        min((_evidence(setup, counts, one, other), one, other) for other in indexes if other != one)
        for one in indexes
    )
    return Obstacle(
        "undecided",
        f"The evidence that variant '{setup.compared[leader].label}' is better than"
        f" '{setup.compared[rival].label}' is {show_evidence(reached):.3g}, and {show_evidence(needed):.3g}"
        " is needed.",
    )


def show_evidence(log_e_value: float) -> float:
    """Give an e-value itself, no larger than 1e12, which is proof enough."""
    return math.exp(min(log_e_value, math.log(1e12)))


def _find_winner(setup: Setup, counts: Counts, needed: float) -> Candidate | None:
    weights = [float(one.weight) for one in setup.compared]
    if setup.goal == REVENUE:
        assert counts.unit is not None, "without it there is an obstacle"
        found = statistics.find_revenue_winner(counts.revenue, weights, counts.unit, needed)
    else:
        found = statistics.find_conversion_winner(counts.conversions, weights, needed)
    return None if found is None else setup.compared[found]


def _evidence(setup: Setup, counts: Counts, ours: int, theirs: int) -> float:
    weight, other = setup.compared[ours].weight, setup.compared[theirs].weight
    share = weight / (weight + other)
    if setup.goal != REVENUE:
        return statistics.conversion_evidence(counts.conversions[ours], counts.conversions[theirs], share)
    if counts.unit is None or len(counts.currencies) != 1:
        return 0.0
    return statistics.revenue_evidence(counts.revenue[ours], counts.revenue[theirs], share, counts.unit)


def _stand(setup: Setup, counts: Counts) -> Iterator[Standing]:
    """Describe every compared variant."""
    pairs = list(itertools.zip_longest(setup.compared, _chances(setup, counts)))
    for index, (variant, chance) in enumerate(pairs):
        trials, conversions = counts.trials[index], counts.conversions[index]
        yield Standing(
            id=variant.id,
            label=variant.label,
            weight=variant.weight,
            trials=trials,
            conversions=conversions,
            rate=conversions / trials if trials else 0.0,
            rate_interval=estimates.wilson_interval(conversions, trials),
            revenue=counts.revenue[index].total,
            revenue_interval=estimates.mean_interval(counts.revenue[index]),
            chance=chance.best if chance else None,
            loss=chance.loss if chance else None,
            evidence={
                other.label: _evidence(setup, counts, index, place)
                for place, other in enumerate(setup.compared)
                if place != index
            },
        )


def _chances(setup: Setup, counts: Counts) -> list[estimates.Chance]:
    """Give each variant's chance to be best; nothing where nothing can be said of it."""
    if setup.goal != REVENUE:
        beliefs = [
            estimates.rate_posterior(conversions, trials)
            for conversions, trials in zip(counts.conversions, counts.trials, strict=True)
        ]
    elif len(counts.currencies) == 1 and all(0 < one.variance_of_mean < math.inf for one in counts.revenue):
        beliefs = [estimates.mean_posterior(one) for one in counts.revenue]
    else:
        return []
    return estimates.weigh_chances(beliefs) if len(beliefs) > 1 else []
