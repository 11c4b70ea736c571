"""What can be told of a click from its own words, once it has left the hot path.

Results depend on nothing but the text, so they are remembered; most traffic comes from few user agents.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec
import ua_parser

from control_plane.core.user_agents import REMEMBERED, judge_user_agent


class Client(msgspec.Struct, frozen=True):
    """What a user agent says: families as ua-parser names them, None where it does not know.

    `device`: "desktop", "mobile" or "tablet".
    """

    browser: str | None
    os: str | None
    device: str | None


NOBODY: Final = Client(None, None, None)


@lru_cache(maxsize=REMEMBERED)
def describe_client(user_agent: str) -> Client:
    """Read a user agent. What is a machine's by its own word has no browser that would mean anything."""
    if judge_user_agent(user_agent) is not None:
        return NOBODY
    # Asked for one by one: ua_parser.parse would look for the device's model too.
    browser, os = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    return Client(browser.family if browser else None, os.family if os else None, _tell_device(user_agent))


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
