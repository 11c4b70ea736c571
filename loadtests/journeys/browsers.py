"""Who visits and from where: a small mix of real user agents, languages and referrers, with shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from random import Random

_WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
)
_ANDROID: Final = f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT}"
_MAC: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_WINDOWS: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"

USER_AGENTS: Final = {
    f"{_ANDROID} Chrome/142.0.0.0 Mobile Safari/537.36": 34,
    f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36": 22,
    f"{_IPHONE} Version/18.6 Mobile/15E148 Safari/604.1": 18,
    f"{_MAC} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36": 6,
    f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": 5,
    f"{_IPHONE} Mobile/15E148 Instagram 402.0.0.29.78 (iPhone14,5; iOS 18_6; en_US; en; scale=3.00)": 4,
    f"{_ANDROID} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": 4,
    f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15": 4,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0": 2,
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0": 1,
}
"""User agent -> share of visitors."""

PREVIEW_BOTS: Final = {
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": 4,
    "WhatsApp/2.23.20.0": 3,
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)": 2,
    "TelegramBot (like TwitterBot)": 2,
    "Twitterbot/1.0": 1,
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)": 1,
}
"""User agent of a program that makes previews of links -> share among them."""

REFERRERS: Final = {
    "": 46,
    "https://www.google.com/": 14,
    "https://l.facebook.com/": 10,
    "https://l.instagram.com/": 9,
    "https://t.co/": 5,
    "https://www.youtube.com/": 5,
    "https://mail.google.com/": 4,
    "https://www.linkedin.com/": 3,
    "https://www.reddit.com/": 2,
    "https://duckduckgo.com/": 1,
    "android-app://com.google.android.gm/": 1,
}
"""Referrer -> share of visitors; "": none is sent."""

LANGUAGES: Final = {
    "en-US,en;q=0.9": 50,
    "es-ES,es;q=0.9": 14,
    "de-DE,de;q=0.9": 12,
    "pt-BR,pt;q=0.9": 12,
    "ja": 12,
}
"""Accept-Language -> share of visitors."""

CAMPAIGNS: Final = {
    "": 40,
    "utm_source=newsletter&utm_medium=email&utm_campaign=spring": 20,
    "utm_source=instagram&utm_medium=social": 20,
    "gclid=EAIaIQobChMI7p2z&utm_source=google&utm_medium=cpc": 20,
}
"""Query of the link that was published -> share of visits."""

PRIVACY_SHARE: Final = 0.05
"""Share of visitors whose browser sends Sec-GPC."""


class Browser(msgspec.Struct, frozen=True):
    """What one visitor's browser sends. `is_private`: it asks not to be followed (Sec-GPC)."""

    headers: dict[str, str]
    is_private: bool


def draw_browser(random: Random) -> Browser:
    """Draw a visitor."""
    headers = {
        "User-Agent": pick(USER_AGENTS, random),
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Language": pick(LANGUAGES, random),
    }
    if referrer := pick(REFERRERS, random):
        headers["Referer"] = referrer
    is_private = random.random() < PRIVACY_SHARE
    if is_private:
        headers["Sec-GPC"] = "1"
    return Browser(headers, is_private)


def pick(shares: dict[str, int], random: Random) -> str:
    """Draw a key by its share."""
    return random.choices(list(shares), list(shares.values()))[0]
