from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import crawleruseragents  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from control_plane.core.user_agents import BotReason, judge_user_agent
from control_plane.pipeline.networks import DATACENTERS, MAIL_SCANNERS, NetworkList, read_networks
from control_plane.pipeline.verdicts import (
    MOST_PER_MINUTE,
    VISITORS_COUNTED,
    Judge,
    MinuteCounter,
)

if TYPE_CHECKING:
    from pathlib import Path

INSTANCES: list[str] = [
    instance for crawler in crawleruseragents.CRAWLER_USER_AGENTS_DATA for instance in crawler["instances"]
]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari"
HOME = "84.128.7.9"
CLOUD = "3.5.6.7"


def is_crawler(user_agent: str) -> bool:
    return judge_user_agent(user_agent) is BotReason.CRAWLER_LIST


class TestCrawlers:
    def test_every_example_of_the_list_is_judged_as_the_list_judges_it(self) -> None:
        assert len(INSTANCES) > 1000
        judged = {instance: is_crawler(instance) for instance in INSTANCES}
        assert judged == {instance: crawleruseragents.is_crawler(instance) for instance in INSTANCES}
        assert sum(judged.values()) > 1000

    @settings(max_examples=300)
    @given(st.sampled_from([*INSTANCES, FIREFOX, CHROME, IPHONE]), st.data())
    def test_so_is_every_part_of_one_and_every_mixture(self, user_agent: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(user_agent)))
        part = user_agent[start : data.draw(st.integers(start, len(user_agent)))]
        printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Nd"]), max_size=20)
        for mixed in (part, part.swapcase(), f"{data.draw(printable)}{part}{data.draw(printable)}"):
            assert not mixed or is_crawler(mixed) == crawleruseragents.is_crawler(mixed)


@pytest.fixture
def judge() -> Judge:
    return Judge.read("")


class TestJudge:
    @pytest.mark.parametrize("user_agent", [FIREFOX, CHROME, IPHONE])
    def test_people(self, judge: Judge, user_agent: str) -> None:
        assert judge.judge(user_agent, HOME) is None
        assert judge.judge(user_agent, "", in_minute=MOST_PER_MINUTE) is None

    @pytest.mark.parametrize(
        ("user_agent", "ip", "reason"),
        [
            ("", HOME, BotReason.NO_USER_AGENT),
            (f"{CHROME} Googlebot/2.1", HOME, BotReason.CRAWLER_LIST),
            (f"{CHROME} Mimecast", HOME, BotReason.MAIL_SCANNER),
            (CHROME, "104.47.1.2", BotReason.MAIL_SCANNER),
            (CHROME, CLOUD, BotReason.DATACENTER),
            (CHROME, "3.5.6.0", BotReason.DATACENTER),
            (CHROME, "2600:1f00::1", BotReason.DATACENTER),
        ],
    )
    def test_machines(self, judge: Judge, user_agent: str, ip: str, reason: BotReason) -> None:
        assert judge.judge(user_agent, ip) is reason

    def test_what_is_fetched_ahead_is_a_machines_whoever_asked_for_it(self, judge: Judge) -> None:
        assert judge.judge(FIREFOX, HOME, prefetch=True) is BotReason.PREFETCH

    def test_nobody_clicks_that_often(self, judge: Judge) -> None:
        assert judge.judge(FIREFOX, HOME, in_minute=MOST_PER_MINUTE + 1) is BotReason.RATE
        assert judge.judge(FIREFOX, CLOUD, in_minute=MOST_PER_MINUTE + 1) is BotReason.DATACENTER

    def test_an_operator_adds_networks_or_turns_them_off(self, tmp_path: Path) -> None:
        file = tmp_path / "networks"
        file.write_text("# ours\n84.128.0.0/10  # all of it\n\n2001:db8::/32\n")
        more = Judge.read(str(file))
        for ip in (HOME, CLOUD, "2001:db8::1"):
            assert more.judge(FIREFOX, ip) is BotReason.DATACENTER
        assert Judge.read("off").judge(FIREFOX, CLOUD) is None

    def test_a_file_that_cannot_be_read_is_refused_with_its_line(self, tmp_path: Path) -> None:
        file = tmp_path / "networks"
        file.write_text("10.0.0.0/8\n10.0.0.1/8\n")
        with pytest.raises(ValueError, match=r"line 2: 10\.0\.0\.1/8"):
            Judge.read(str(file))
        with pytest.raises(OSError, match="absent"):
            Judge.read(str(tmp_path / "absent"))


class TestNetworkList:
    @settings(max_examples=200)
    @given(
        st.lists(st.ip_addresses(v=4, network="10.0.0.0/24").map(str), max_size=20),
        st.lists(st.integers(20, 32), min_size=20, max_size=20),
        st.ip_addresses(v=4, network="10.0.0.0/20").map(str),
    )
    @example(["10.0.0.4", "10.0.0.8"], [30] * 20, "10.0.0.7")
    def test_it_answers_as_looking_at_each_would(self, starts: list[str], sizes: list[int], ip: str) -> None:
        blocks = [
            str(ipaddress.ip_network(f"{start}/{size}", strict=False))
            for start, size in zip(starts, sizes, strict=False)
        ]
        expected = any(ipaddress.ip_address(ip) in ipaddress.ip_network(block) for block in blocks)
        assert NetworkList(blocks).holds(ip) is expected

    @pytest.mark.parametrize("ip", ["", "x", "999.1.1.1", "1.2.3.4.5"])
    def test_what_is_no_address_lies_nowhere(self, ip: str) -> None:
        assert not NetworkList(["0.0.0.0/0", "::/0"]).holds(ip)

    def test_the_lists_are_well_formed(self) -> None:
        assert len(read_networks(DATACENTERS)) == len(set(read_networks(DATACENTERS))) > 150
        assert len(read_networks(MAIL_SCANNERS)) == len(set(read_networks(MAIL_SCANNERS))) > 10


class TestMinuteCounter:
    def test_it_counts_each_visitor_in_each_minute(self) -> None:
        counter = MinuteCounter()
        assert counter.seen(1, 10) == 0
        counter.add({(1, 10): 2, (2, 10): 1})
        counter.add({(1, 11): 1, (1, 10): 1})
        assert [counter.seen(1, 10), counter.seen(2, 10), counter.seen(1, 11), counter.seen(2, 11)] == [
            3,
            1,
            1,
            0,
        ]

    def test_it_keeps_two_minutes(self) -> None:
        counter = MinuteCounter()
        for minute in range(5):
            counter.add({(1, minute): 1})
        assert [counter.seen(1, minute) for minute in range(5)] == [0, 0, 0, 1, 1]

    def test_a_flood_of_visitors_is_not_remembered(self) -> None:
        counter = MinuteCounter()
        counter.add({(visitor, 1): 1 for visitor in range(VISITORS_COUNTED + 10)})
        assert len(counter._minutes[1]) == VISITORS_COUNTED
        assert [counter.seen(0, 1), counter.seen(VISITORS_COUNTED + 1, 1)] == [1, 0]
