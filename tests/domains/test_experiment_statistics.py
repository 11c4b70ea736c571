"""The rule of the winner: its numbers against integrals, and its promises against simulated chance."""

from __future__ import annotations

import math
from random import Random

import pytest

from control_plane.domains.experiments import estimates, statistics
from control_plane.domains.experiments.statistics import LIFTS, SKEWS, Moments
from loadtests import winner_simulation as simulation

RUNS = 300


def integrate_coin(ours: int, theirs: int, share: float) -> float:
    """The evidence of conversions as its definition says it, by the midpoint rule."""
    steps, evidence = 20_000, 0.0
    for lift in LIFTS:
        a, b = 1 / ((1 - share) * lift * lift), 1 / (share * lift * lift)
        top = bottom = 0.0
        mode = (a - 1) * math.log(share) + (b - 1) * math.log(1 - share)
        for step in range(steps):
            coin = share + (1 - share) * (step + 0.5) / steps
            prior = math.exp((a - 1) * math.log(coin) + (b - 1) * math.log(1 - coin) - mode)
            bottom += prior
            top += prior * (coin / share) ** ours * ((1 - coin) / (1 - share)) ** theirs
        evidence += top / bottom / len(LIFTS)
    return math.log(evidence)


class TestEvidence:
    @pytest.mark.parametrize(
        ("ours", "theirs", "share"),
        [(10, 5, 0.5), (60, 30, 0.5), (5, 50, 0.1), (0, 7, 0.5), (12, 3, 0.7), (300, 250, 0.5), (0, 0, 0.3)],
    )
    def test_of_conversions_is_the_integral(self, ours: int, theirs: int, share: float) -> None:
        found = statistics.conversion_evidence(ours, theirs, share)
        assert found == pytest.approx(integrate_coin(ours, theirs, share), abs=1e-4)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
    def test_of_conversions_has_mean_one(self, share: float) -> None:
        trials = 40
        mean = sum(
            math.comb(trials, ours)
            * share**ours
            * (1 - share) ** (trials - ours)
            * math.exp(statistics.conversion_evidence(ours, trials - ours, share))
            for ours in range(trials + 1)
        )
        assert mean == pytest.approx(1, abs=1e-9)

    def test_of_a_split_has_mean_one(self) -> None:
        trials, weights = 30, (0.2, 0.8)
        mean = sum(
            math.comb(trials, ours)
            * weights[0] ** ours
            * weights[1] ** (trials - ours)
            * math.exp(statistics.split_evidence([ours, trials - ours], weights))
            for ours in range(trials + 1)
        )
        assert mean == pytest.approx(1, abs=1e-9)
        assert len(SKEWS) == 3

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_of_revenue_has_a_mean_of_at_most_one(self, share: float) -> None:
        amounts = [100, 100, 300, 50, 9000, 100, 700, 20, 100, 400]
        mean = 0.0
        for falls in range(2 ** len(amounts)):
            ours = [amount for place, amount in enumerate(amounts) if falls >> place & 1]
            theirs = [amount for place, amount in enumerate(amounts) if not falls >> place & 1]
            chance = share ** len(ours) * (1 - share) ** len(theirs)
            mine, others = (Moments(0, sum(one), sum(amount**2 for amount in one)) for one in (ours, theirs))
            mean += chance * math.exp(statistics.revenue_evidence(mine, others, share, 100))
        assert 0.2 < mean <= 1

    def test_of_a_million_conversions_is_finite(self) -> None:
        assert 0 < statistics.conversion_evidence(505_000, 500_000, 0.5) < 20

    def test_only_grows_with_our_conversions(self) -> None:
        found = [statistics.conversion_evidence(ours, 100, 0.5) for ours in range(0, 300, 5)]
        assert found == sorted(found)

    def test_the_cheap_bound_never_hides_a_winner(self) -> None:
        rng = Random(4)
        for _ in range(2000):
            sold = [rng.randrange(80), rng.randrange(80)]
            share = rng.choice([0.1, 0.5, 0.75])
            leads = [
                statistics.conversion_evidence(sold[0], sold[1], share) >= 3,
                statistics.conversion_evidence(sold[1], sold[0], 1 - share) >= 3,
            ]
            expected = leads.index(True) if any(leads) else None
            assert statistics.find_conversion_winner(sold, [share, 1 - share], 3) == expected


class TestFalseWinners:
    """At most 5 % of experiments without a difference end with a winner, looked at after every sale."""

    @pytest.mark.parametrize(
        "weights",
        [(50, 50), (10, 90), (34, 33, 33), (70, 20, 10), (25, 25, 25, 25), (20, 20, 20, 20, 20)],
        ids=str,
    )
    def test_by_conversion_rate(self, weights: tuple[int, ...]) -> None:
        false = simulation.count_false_winners(weights, runs=RUNS, sales=1000, seed=1)
        assert false <= simulation.most_false(RUNS)

    @pytest.mark.parametrize("weights", [(50, 50), (10, 90), (20, 20, 20, 20, 20)], ids=str)
    def test_by_revenue_with_heavy_tails(self, weights: tuple[int, ...]) -> None:
        false = simulation.count_false_revenue_winners(weights, 2.0, runs=60, sales=400, seed=2)
        assert false <= simulation.most_false(60)

    def test_a_repeated_z_test_has_far_more(self) -> None:
        false = simulation.count_naive_winners(0.05, runs=RUNS, looks=100, batch=200, seed=3)
        assert false > simulation.most_false(RUNS)
        assert false > 0.2 * RUNS

    def test_the_tolerance_is_the_binomial_tail(self) -> None:
        most = simulation.most_false(RUNS)
        chances = [math.comb(RUNS, n) * 0.05**n * 0.95 ** (RUNS - n) for n in range(most + 1)]
        assert 1 - sum(chances) <= 0.001 < 1 - sum(chances[:-1])


class TestPower:
    def test_a_fifth_more_is_found_with_less_than_two_and_a_half_times_a_z_tests_visitors(self) -> None:
        sales = simulation.sales_until_winner(0.2, runs=60, most=6000, seed=4)
        per_visitor = 0.05 * 1.1
        assert sales[47] / per_visitor < 2.5 * simulation.visitors_of_z_test(0.05, 0.2)

    def test_more_sales_at_a_lower_price_win_nothing_by_revenue(self) -> None:
        sums = [Moments(10_000, 1000 * 1000, 1000 * 1000**2), Moments(10_000, 2000 * 500, 2000 * 500**2)]
        assert (
            statistics.find_revenue_winner(sums, [50, 50], 1000, statistics.evidence_needed(2, 0.05)) is None
        )

    def test_a_split_skewed_by_one_point_is_caught(self) -> None:
        found = simulation.visitors_until_mismatch(0.51, runs=10, most=200_000, batch=2000, seed=5)
        assert found[-1] <= 200_000

    def test_an_honest_split_is_left_alone(self) -> None:
        found = simulation.visitors_until_mismatch(0.5, runs=20, most=50_000, batch=1000, seed=6)
        assert found[0] > 50_000


class TestEstimates:
    def test_wilsons_interval(self) -> None:
        assert estimates.wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
        assert estimates.wilson_interval(0, 0) == (0, 1)

    def test_chances_are_those_of_the_posteriors(self) -> None:
        sold = ((50, 1000), (70, 1000), (9, 200))
        found = estimates.weigh_chances([estimates.rate_posterior(*one) for one in sold])
        rng, draws, wins, losses = Random(7), 20_000, [0] * 3, [0.0] * 3
        for _ in range(draws):
            rates = [rng.betavariate(1 + one, 1 + trials - one) for one, trials in sold]
            for index, rate in enumerate(rates):
                wins[index] += rate == max(rates)
                losses[index] += max(rates) - rate
        assert [one.best for one in found] == pytest.approx([one / draws for one in wins], abs=0.015)
        assert [one.loss for one in found] == pytest.approx([one / draws for one in losses], abs=0.001)
        assert sum(one.best for one in found) == pytest.approx(1)
