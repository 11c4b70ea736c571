from __future__ import annotations

import pytest
import ua_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.pipeline.enrichment import NOBODY, describe_client, find_referrer_domain

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari"


class TestClients:
    @settings(max_examples=100)
    @given(st.text(max_size=300))
    def test_any_text_is_described(self, user_agent: str) -> None:
        describe_client(user_agent)

    @pytest.mark.parametrize("user_agent", [FIREFOX, CHROME, IPHONE, "?", "\N{SNOWMAN}" * 2000])
    def test_browser_and_system_are_as_ua_parser_says(self, user_agent: str) -> None:
        parsed = ua_parser.parse(user_agent)
        client = describe_client(user_agent)
        assert client.browser == (parsed.user_agent.family if parsed.user_agent else None)
        assert client.os == (parsed.os.family if parsed.os else None)

    @pytest.mark.parametrize(
        ("user_agent", "device"),
        [(FIREFOX, "desktop"), (IPHONE, "mobile"), ("Android 15; Tablet", "tablet"), ("Android", "tablet")],
    )
    def test_devices_are_told_apart(self, user_agent: str, device: str) -> None:
        assert describe_client(user_agent).device == device

    @pytest.mark.parametrize("user_agent", ["", f"{CHROME} Googlebot/2.1", f"{FIREFOX} Mimecast"])
    def test_machines_have_no_browser(self, user_agent: str) -> None:
        assert describe_client(user_agent) == NOBODY


@pytest.mark.parametrize(
    ("referrer", "domain"),
    [("https://News.example:8443/a", "news.example"), ("", None), ("http://[", None), ("about:blank", None)],
)
def test_the_domain_of_a_referrer(referrer: str, domain: str | None) -> None:
    assert find_referrer_domain(referrer) == domain
