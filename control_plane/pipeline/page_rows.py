"""Visits and clicks on pages as rows: what browsers report, which may come twice and claims its own id."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from control_plane.pipeline.campaign_parameters import read_url_parameters
from control_plane.pipeline.enrichment import describe_client, find_referrer_domain
from control_plane.pipeline.verdicts import VERDICT_VERSION

if TYPE_CHECKING:
    from control_plane.pipeline.campaign_parameters import CampaignParameters
    from control_plane.pipeline.click_rows import IpStorage
    from edge.contract.events import PageClick, Visit

_V4, _V6 = 4, 6
_CUT: Final = {_V4: 24, _V6: 48}
_TIME_BYTES: Final = 6
_NOT_RANDOM: Final = 0xF000 << 64 | 0xC000 << 48
"""Bits behind the time of a UUIDv7 that say what it is."""


def build_visit(
    visit: Visit, *, ip_storage: IpStorage, bot_reason: str | None, visitor_id: int
) -> dict[str, Any]:
    """Build the row of a visit, but for whether it is unique and when it landed."""
    said, client = read_url_parameters(visit.landing_url), describe_client(visit.user_agent)
    return {
        "tenant_id": UUID(bytes=visit.tenant_id),
        "id": UUID(bytes=visit.id),
        "project_id": UUID(bytes=visit.project_id),
        "client_id": text(visit.client_id),
        "visitor_id": visitor_id,
        "is_bot": bot_reason is not None,
        "bot_reason": bot_reason,
        "verdict_version": VERDICT_VERSION,
        "click_id": text(visit.click_id),
        "landing_url": text(visit.landing_url) or "",
        "referrer": text(visit.referrer),
        "referrer_domain": text(find_referrer_domain(visit.referrer)),
        **_campaign_columns(said),
        "network": said.network,
        "gclid": said.gclid,
        "fbclid": said.fbclid,
        "ttclid": said.ttclid,
        "ip_address": _address(visit.ip, ip_storage),
        "country": text(visit.country),
        "user_agent": text(visit.user_agent),
        "browser": client.browser,
        "os": client.os,
        "device": client.device or said.device,
    }


def build_page_click(
    click: PageClick, *, ip_storage: IpStorage, bot_reason: str | None, visitor_id: int
) -> dict[str, Any]:
    """Build the row of a click on a page, but for when it landed."""
    said, client = read_url_parameters(click.page_url), describe_client(click.user_agent)
    return {
        "tenant_id": UUID(bytes=click.tenant_id),
        "id": UUID(bytes=own_id(click.id)),
        "project_id": UUID(bytes=click.project_id),
        "click_id": text(click.click_id) or str(UUID(bytes=click.id)),
        "visit_id": text(click.visit_id),
        "visitor_id": visitor_id,
        "is_bot": bot_reason is not None,
        "bot_reason": bot_reason,
        "verdict_version": VERDICT_VERSION,
        "target_url": text(click.target_url),
        "element_type": text(click.element_type),
        "element_text": text(click.element_text),
        **_campaign_columns(said),
        "ip_address": _address(click.ip, ip_storage),
        "country": text(click.country),
        "user_agent": text(click.user_agent),
        "browser": client.browser,
        "os": client.os,
        "device": client.device or said.device,
    }


def own_id(claimed: bytes) -> bytes:
    """Give the id under which a click on a page is kept: of the same time, and the same for the same claim.

    Pages pick their ids. Kept under them, they could take that of a redirect that has not landed yet.
    """
    random = int.from_bytes(blake2b(claimed, digest_size=10).digest(), "big") & ~_NOT_RANDOM
    kind = 0x7000 << 64 | 0x8000 << 48
    return claimed[:_TIME_BYTES] + (random | kind).to_bytes(10, "big")


def text(value: str | None) -> str | None:
    """Give text as Postgres can hold it; what is empty is unknown."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else None


def _campaign_columns(said: CampaignParameters) -> dict[str, str | None]:
    return {
        name: getattr(said, name)
        for name in (
            *("campaign", "ad_group", "keyword"),
            *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
        )
    }


def _address(ip: str, storage: IpStorage) -> str | None:
    if storage == "none":
        return None
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if storage == "full":
        return str(address)
    kept = _CUT[address.version]
    bits = address.max_prefixlen - kept
    return str(type(address)(int(address) >> bits << bits))
