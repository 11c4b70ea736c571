from __future__ import annotations

import re
from random import Random

import msgspec
import pytest

from deploy.process import StartFailed
from loadtests.journeys.browsers import REFERRERS, USER_AGENTS, draw_browser, pick
from loadtests.journeys.limits import Limits, find_missed
from loadtests.journeys.plan import Figures, Outcome
from loadtests.journeys.popularity import Popularity
from loadtests.journeys.run import Scenario, bound_api_rate, count_marketers
from loadtests.journeys.throttle import Throttle

VISITS = Figures(requests=100, failures=0, p50_ms=2, p99_ms=40, longest_ms=90)
API = Figures(requests=10, failures=0, p50_ms=5, p99_ms=80, longest_ms=90)
OUTCOME = Outcome(
    visits=VISITS,
    api=API,
    total=Figures(requests=110, failures=0, p50_ms=2, p99_ms=70, longest_ms=90),
    redirects={"a": 60, "b": 40},
    reasons=[],
    crashes=0,
    seconds=10.0,
    locust_cpu_s=1.0,
)
LANDED = {"a": 60, "b": 40, "never-followed": 0}


class TestLimits:
    def test_a_run_at_its_limits_keeps_them(self) -> None:
        limits = Limits(p99_ms=40, api_p99_ms=80, min_rps=11)
        assert find_missed(limits, OUTCOME, LANDED) == []

    def test_each_missed_limit_has_its_sentence(self) -> None:
        assert find_missed(Limits(p99_ms=39, api_p99_ms=79, min_rps=12), OUTCOME, LANDED) == [
            "The p99 of redirects was 40 ms, --p99-ms allows 39.",
            "The p99 of the API was 80 ms, --api-p99-ms allows 79.",
            "11.0 requests/s were made, --min-rps asks for 12.",
        ]

    def test_failures_and_crashes_count_together(self) -> None:
        outcome = msgspec.structs.replace(
            OUTCOME,
            total=msgspec.structs.replace(OUTCOME.total, failures=2),
            crashes=1,
            reasons=[("GET /{slug}: status 5", 2), ("a mistake", 1)],
        )
        assert find_missed(Limits(max_failures=3), outcome, LANDED) == []
        assert find_missed(Limits(max_failures=2), outcome, LANDED) == [
            "3 of 110 requests failed, --max-failures allows 2; most often (2 times): GET /{slug}: status 5."
        ]

    @pytest.mark.parametrize("landed", [{"a": 59, "b": 41}, {"a": 60, "b": 41}, {"a": 60}])
    def test_clicks_are_compared_link_by_link(self, landed: dict[str, int]) -> None:
        (sentence,) = find_missed(Limits(), OUTCOME, landed)
        assert sentence.startswith(f"100 redirects were received, {sum(landed.values())} clicks landed:")

    def test_a_run_without_requests_is_no_success(self) -> None:
        nothing = Figures(requests=0, failures=0, p50_ms=0, p99_ms=0, longest_ms=0)
        outcome = Outcome(
            visits=nothing,
            api=nothing,
            total=nothing,
            redirects={},
            reasons=[],
            crashes=0,
            seconds=0.0,
            locust_cpu_s=0.0,
        )
        assert find_missed(Limits(), outcome, {}) == ["No request was made."]


class TestPopularity:
    def test_the_second_link_is_followed_half_as_often_as_the_first(self) -> None:
        popularity = Popularity(10)
        draws = 20_000
        ranks = [popularity.choose_rank(number / draws) for number in range(draws)]
        first, second, tenth = (ranks.count(rank) for rank in (0, 1, 9))
        assert second / first == pytest.approx(1 / 2, rel=0.01)
        assert tenth / first == pytest.approx(1 / 10, rel=0.01)

    @pytest.mark.parametrize("count", [1, 3, 50])
    def test_every_draw_names_a_link(self, count: int) -> None:
        popularity = Popularity(count)
        assert popularity.choose_rank(0.0) == 0
        assert popularity.choose_rank(1 - 2**-53) == count - 1

    def test_without_links_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="count 0"):
            Popularity(0)


class TestThrottle:
    def test_moments_are_evenly_spaced_whoever_asks(self) -> None:
        throttle = Throttle(4)
        assert [throttle.reserve(100.0) for _ in range(3)] == [0.0, 0.25, 0.5]
        assert throttle.reserve(100.5) == 0.25

    def test_unused_moments_are_lost(self) -> None:
        throttle = Throttle(4)
        throttle.reserve(100.0)
        assert [throttle.reserve(200.0) for _ in range(2)] == [0.0, 0.25]

    def test_a_rate_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="per_second 0"):
            Throttle(0)


class TestScenario:
    @pytest.mark.parametrize(
        ("scenario", "users", "marketers"),
        [("visitors", 50, 0), ("marketers", 50, 50), ("both", 50, 5), ("both", 2, 1)],
    )
    def test_marketers_are_a_tenth_of_both(self, scenario: str, users: int, marketers: int) -> None:
        assert count_marketers(Scenario(scenario), users) == marketers

    def test_both_needs_two_users(self) -> None:
        with pytest.raises(StartFailed, match="at least 2 users"):
            count_marketers(Scenario.BOTH, 1)

    def test_a_long_run_stays_below_the_requests_of_the_hour(self) -> None:
        assert bound_api_rate(9000, 30) == 50
        assert bound_api_rate(9000, 3600) * 3600 < 9000


class TestBrowsers:
    def test_visitors_differ_as_the_shares_say(self) -> None:
        random = Random(1)
        browsers = [draw_browser(random) for _ in range(2000)]
        assert {browser.headers["User-Agent"] for browser in browsers} == USER_AGENTS.keys()
        direct = sum("Referer" not in browser.headers for browser in browsers)
        assert direct / 2000 == pytest.approx(REFERRERS[""] / sum(REFERRERS.values()), abs=0.05)
        assert all((browser.headers.get("Sec-GPC") == "1") == browser.is_private for browser in browsers)

    def test_headers_are_plain_ascii(self) -> None:
        for value in (*USER_AGENTS, *REFERRERS):
            assert re.fullmatch("[ -~]*", value)

    def test_a_share_of_nothing_is_never_drawn(self) -> None:
        assert {pick({"never": 0, "always": 1}, Random(seed)) for seed in range(50)} == {"always"}
