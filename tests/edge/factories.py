"""Clicks and links as the tests of the edge need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uuid_utils

from edge.contract import redis_keys
from edge.contract.domain_record import DomainRecord, encode_domain
from edge.contract.events import Click, Reason
from edge.contract.link_record import LinkRecord, LinkState, Stickiness, Variant, encode_link
from edge.request import EdgeRequest

if TYPE_CHECKING:
    from redis.asyncio import Redis

TENANT = bytes(15) + b"\1"
LINK = bytes(15) + b"\2"


def make_click(**changes: object) -> Click:
    facts: dict[str, object] = {
        "id": uuid_utils.uuid7().bytes,
        "tenant_id": TENANT,
        "link_id": LINK,
        "variant_id": bytes(15) + b"\3",
        "link_version": 4,
        "reason": Reason.WEIGHT,
        "ip": "198.51.100.77",
        "country": "BR",
        "referrer": "https://news.example/story",
        "user_agent": "Mozilla/5.0 Firefox/140.0",
        "query": "utm_source=mail",
    }
    return Click(**facts | changes)  # type: ignore[arg-type]  # a test's own keywords


def make_variant(number: int, weight: int, url: str | None = None) -> Variant:
    return Variant(bytes([number]) * 16, f"v{number}", url or f"https://v{number}.example/", weight)


def make_link(**changes: object) -> LinkRecord:
    facts: dict[str, object] = {
        "tenant_id": TENANT,
        "link_id": LINK,
        "slug": "summer",
        "version": 1,
        "state": LinkState.ACTIVE,
        "variants": (make_variant(1, 50), make_variant(2, 50)),
        "geo_rules": {},
        "geo_default": None,
        "winner": None,
        "stickiness": Stickiness.NONE,
        "forward_query": True,
    }
    return LinkRecord(**facts | changes)  # type: ignore[arg-type]  # a test's own keywords


async def publish(redis: Redis, *links: LinkRecord) -> None:
    """Write links and announce them, as the publisher does."""
    for link in links:
        await redis.set(redis_keys.link(link.key), encode_link(link))
        await redis.xadd(redis_keys.link_changes(), {"s": link.key, "v": link.version})


async def publish_domain(redis: Redis, domain: str, tenant_id: bytes = TENANT, version: int = 1) -> None:
    """Write a custom domain and announce it, as the publisher does."""
    value = encode_domain(DomainRecord(domain, version, tenant_id))
    await redis.hset(redis_keys.domains(), domain, value)
    await redis.xadd(redis_keys.link_changes(), {"s": f"{domain}/", "v": version})


async def declare_ready(redis: Redis, epoch: str = "1") -> None:
    """Say that every link is in Redis, as the end of a resync does."""
    info = await redis.info("replication")
    await set_markers(redis, f"{info['master_replid']}:{epoch}")


async def set_markers(redis: Redis, marker: str) -> None:
    """Set the markers of all groups of links."""
    await redis.mset({redis_keys.links_ready(group): marker for group in range(redis_keys.GROUPS)})


class FakeHeaders:
    """Request headers as a server gives them: names in lower case, several values in their order."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self._headers = headers

    def get(self, key: str, default: None = None, /) -> str | None:
        return next((value for name, value in self._headers if name == key), default)

    def get_all(self, key: str, /) -> list[str]:
        return [value for name, value in self._headers if name == key]


def make_request(  # noqa: PLR0913  what a request has
    path: str = "/summer",
    *headers: tuple[str, str],
    method: str = "GET",
    query: str = "",
    scheme: str = "http",
    peer: str = "198.51.100.77",
    authority: str = "",
) -> EdgeRequest:
    return EdgeRequest(method, path, query, scheme, peer, FakeHeaders(*headers), authority)
