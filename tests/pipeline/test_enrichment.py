from __future__ import annotations

import crawleruseragents  # type: ignore[import-untyped]
import pytest
import ua_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.pipeline.enrichment import describe_client, find_referrer_domain

INSTANCES: list[str] = [
    instance for crawler in crawleruseragents.CRAWLER_USER_AGENTS_DATA for instance in crawler["instances"]
]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari"


def is_crawler(user_agent: str) -> bool:
    return describe_client(user_agent).bot_reason == "crawler_list"


class TestCrawlers:
    def test_every_example_of_the_list_is_judged_as_the_list_judges_it(self) -> None:
        assert len(INSTANCES) > 1000
        judged = {instance: is_crawler(instance) for instance in INSTANCES}
        assert judged == {instance: crawleruseragents.is_crawler(instance) for instance in INSTANCES}
        assert sum(judged.values()) > 1000

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from([*INSTANCES, FIREFOX, CHROME, IPHONE]), st.data())
    def test_so_is_every_part_of_one_and_every_mixture(self, user_agent: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(user_agent)))
        part = user_agent[start : data.draw(st.integers(start, len(user_agent)))]
        printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Nd"]), max_size=20)
        for mixed in (part, part.swapcase(), f"{data.draw(printable)}{part}{data.draw(printable)}"):
            assert not mixed or is_crawler(mixed) == crawleruseragents.is_crawler(mixed)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=300))
    def test_any_text_is_judged(self, user_agent: str) -> None:
        describe_client(user_agent)


class TestClients:
    @pytest.mark.parametrize("user_agent", [FIREFOX, CHROME, IPHONE, "?", "\N{SNOWMAN}" * 2000])
    def test_browser_and_system_are_as_ua_parser_says(self, user_agent: str) -> None:
        parsed = ua_parser.parse(user_agent)
        client = describe_client(user_agent)
        assert client.browser == (parsed.user_agent.family if parsed.user_agent else None)
        assert client.os == (parsed.os.family if parsed.os else None)
        assert client.bot_reason is None

    @pytest.mark.parametrize(
        ("user_agent", "device"),
        [(FIREFOX, "desktop"), (IPHONE, "mobile"), ("Android 15; Tablet", "tablet"), ("Android", "tablet")],
    )
    def test_devices_are_told_apart(self, user_agent: str, device: str) -> None:
        assert describe_client(user_agent).device == device

    def test_nobody_is_a_machine(self) -> None:
        assert describe_client("").bot_reason == "no_user_agent"


@pytest.mark.parametrize(
    ("referrer", "domain"),
    [("https://News.example:8443/a", "news.example"), ("", None), ("http://[", None), ("about:blank", None)],
)
def test_the_domain_of_a_referrer(referrer: str, domain: str | None) -> None:
    assert find_referrer_domain(referrer) == domain
