"""What can be told of a click from its own words, once it has left the hot path.

Results depend on nothing but the text, so they are remembered; most traffic comes from few user
agents. A verdict carries VERDICT_VERSION, so that stored ones can be told apart and recomputed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec
import ua_parser
from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]  # ships no types
from ua_parser_rs import UserAgentExtractor

VERDICT_VERSION: Final = 1
REMEMBERED: Final = 20_000
"""Texts of each kind that are remembered: some 20 MB at most."""


_CRAWLERS: Final = UserAgentExtractor(
    (crawler["pattern"], "crawler", None, None, None, None) for crawler in CRAWLER_USER_AGENTS_DATA
)
"""The crawler list behind ua-parser's engine, which looks for the patterns' literal parts first, and
takes time in proportion to the text whatever it says. Searching 1,500 patterns with `re`, as the
list's own package does, costs a hundred times as much."""


class Client(msgspec.Struct, frozen=True):
    """What a user agent says: families as ua-parser names them, None where it does not know.

    `device`: "desktop", "mobile" or "tablet". `bot_reason`: why it is taken for a machine; None
    for a person.
    """

    browser: str | None
    os: str | None
    device: str | None
    bot_reason: str | None


def describe_client(user_agent: str) -> Client:
    """Read a user agent."""
    if not user_agent:
        return Client(None, None, None, "no_user_agent")
    if _CRAWLERS.extract(user_agent) is not None:
        return Client(None, None, None, "crawler_list")
    # Asked for one by one: ua_parser.parse would look for the device's model too.
    browser, os = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    return Client(
        browser.family if browser else None,
        os.family if os else None,
        _tell_device(user_agent),
        None,
    )


def _tell_device(user_agent: str) -> str:
    if "iPad" in user_agent or "Tablet" in user_agent:
        return "tablet"
    if "Mobi" in user_agent or "iPhone" in user_agent:
        return "mobile"
    return "tablet" if "Android" in user_agent else "desktop"


@lru_cache(maxsize=REMEMBERED)
def find_referrer_domain(referrer: str) -> str | None:
    """Give the host of a referrer, lower case, without its port; None when there is none."""
    try:
        return urlsplit(referrer).hostname
    except ValueError:
        return None
