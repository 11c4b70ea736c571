"""What a user agent alone tells of who made a click or a visit."""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Final

from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]  # ships no types
from ua_parser_rs import UserAgentExtractor

REMEMBERED: Final = 20_000
"""Texts of each kind that are remembered: some 20 MB at most."""

_CRAWLERS: Final = UserAgentExtractor(
    (crawler["pattern"], "crawler", None, None, None, None) for crawler in CRAWLER_USER_AGENTS_DATA
)
"""The crawler list behind ua-parser's engine, which looks for the patterns' literal parts first, and
takes time in proportion to the text whatever it says. Searching 1,500 patterns with `re`, as the
list's own package does, costs a hundred times as much."""

_MAIL_SCANNERS: Final = re.compile(
    r"Barracuda|BitdefenderMail|FireEye|FortiMail|IronPort|Mimecast|MSOffice|ms-office|Proofpoint|SafeLinks"
    r"|Symantec|TrendMicro|Trend Micro",
    re.IGNORECASE,
)


class BotReason(enum.StrEnum):
    """Why an event is taken for a machine's."""

    PREFETCH = "prefetch"
    NO_USER_AGENT = "no_user_agent"
    CRAWLER_LIST = "crawler_list"
    MAIL_SCANNER = "mail_scanner"
    DATACENTER = "datacenter"
    RATE = "rate"


@lru_cache(maxsize=REMEMBERED)
def judge_user_agent(user_agent: str) -> BotReason | None:
    """Give what a user agent alone tells."""
    if not user_agent:
        return BotReason.NO_USER_AGENT
    if _CRAWLERS.extract(user_agent) is not None:
        return BotReason.CRAWLER_LIST
    return BotReason.MAIL_SCANNER if _MAIL_SCANNERS.search(user_agent) else None
