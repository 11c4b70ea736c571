"""What the parameters of a URL say of the campaign that brought a visitor.

The names are those of Google's ValueTrack templates, of the utm convention, and of the ad networks' click
ids. Names count in any case; of a name that comes again the first value that is not empty counts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from control_plane.domains.traffic.model import VALUE_LENGTH

REMEMBERED: Final = 5_000
"""Texts that are remembered, of 2 KiB each at most."""

_NAMES: Final = {
    "utm_source": "utm_source",
    "utm_medium": "utm_medium",
    "utm_campaign": "utm_campaign",
    "utm_content": "utm_content",
    "utm_term": "utm_term",
    "campaign": "campaign",
    "campaignid": "campaign_id",
    "adgroup": "ad_group",
    "adgroupid": "ad_group_id",
    "ad_group": "ad_group",
    "keyword": "keyword",
    "network": "network",
    "device": "device",
    "gclid": "gclid",
    "fbclid": "fbclid",
    "ttclid": "ttclid",
}
_DEVICES: Final = {
    "m": "mobile",
    "t": "tablet",
    "c": "desktop",
    "mobile": "mobile",
    "tablet": "tablet",
    "desktop": "desktop",
}


class CampaignParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL says of the campaign behind it; None for what it does not say.

    `campaign`, `ad_group`, `keyword`: by whichever name they came. `device`: mobile, tablet or desktop.
    """

    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_content: str | None = None
    utm_term: str | None = None
    campaign: str | None = None
    ad_group: str | None = None
    keyword: str | None = None
    network: str | None = None
    device: str | None = None
    gclid: str | None = None
    fbclid: str | None = None
    ttclid: str | None = None


NONE_SAID: Final = CampaignParameters()


@lru_cache(maxsize=REMEMBERED)
def read_parameters(query: str) -> CampaignParameters:
    """Read a query string, without its question mark."""
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        known = _NAMES.get(name) or _NAMES.get(name.lower())
        if known is not None and value and known not in found and (text := _decode(value)):
            found[known] = text
    if not found:
        return NONE_SAID
    campaign_id, ad_group_id = found.pop("campaign_id", None), found.pop("ad_group_id", None)
    found_or_none: dict[str, str | None] = dict(found)
    found_or_none["campaign"] = found.get("campaign") or campaign_id or found.get("utm_campaign")
    found_or_none["ad_group"] = found.get("ad_group") or ad_group_id
    found_or_none["keyword"] = found.get("keyword") or found.get("utm_term")
    found_or_none["device"] = _DEVICES.get(found.get("device", "").lower())
    return CampaignParameters(**found_or_none)


def read_url_parameters(url: str) -> CampaignParameters:
    """Read the query string of a URL."""
    _, mark, rest = url.partition("?")
    return read_parameters(rest.partition("#")[0]) if mark else NONE_SAID


def _decode(value: str) -> str:
    """Undo the encoding, and give what Postgres can hold of it."""
    if "%" in value or "+" in value:
        value = unquote_plus(value)
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()[:VALUE_LENGTH]
