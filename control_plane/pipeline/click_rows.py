"""Clicks as rows of the table `clicks`, in PostgreSQL's binary COPY format.

The format is documented with COPY in the PostgreSQL manual: a header, then for each row a count
of fields and each field as length and bytes, then a trailer. Building it here costs a third of
what a general driver needs for rows of 21 columns, and the flusher does little else: columns of
fixed size are one `struct` call, and what follows from a user agent or a referrer is kept encoded.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from control_plane.core.user_agents import REMEMBERED
from control_plane.pipeline.campaign_parameters import REMEMBERED as PARAMETERS_REMEMBERED
from control_plane.pipeline.campaign_parameters import read_parameters
from control_plane.pipeline.enrichment import describe_client, find_referrer_domain
from control_plane.pipeline.networks import pack_address
from control_plane.pipeline.verdicts import VERDICT_VERSION

if TYPE_CHECKING:
    from edge.contract.events import Click

IpStorage = Literal["full", "truncated", "none"]

COLUMNS: Final = (
    *("tenant_id", "id", "link_id", "variant_id", "link_version", "reason"),
    *("is_prefetch", "is_bot", "is_conversion", "verdict_version", "landed_at"),
    *("ip_address", "country", "referrer", "referrer_domain"),
    *("user_agent", "browser", "os", "device", "bot_reason", "query"),
    *("campaign", "ad_group", "keyword"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
    *("project_id", "visitor_id", "is_unique"),
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = struct.pack(">h", -1)

_FIXED = struct.Struct(">h i16s i16s i16s i16s iq ih i? i? i? ih iq")
"""Number of fields, then the eleven columns of fixed size, each behind its length."""
_VISITOR = struct.Struct(">iq")
_UUID_LENGTH = struct.pack(">i", 16)
_UNIQUE, _NOT_UNIQUE = struct.pack(">i?", 1, True), struct.pack(">i?", 1, False)
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_V4_BYTES: Final = 4
_V4_HEAD, _V6_HEAD = struct.pack(">i4B", 8, 2, 32, 0, 4), struct.pack(">i4B", 20, 3, 128, 0, 16)
"""Before an inet's bytes: length, family, prefix length, "is a network", length of the address."""


def build_row(
    click: Click, *, landed_at_us: int, ip_storage: IpStorage, bot_reason: str | None, visitor_id: int
) -> bytes:
    """Build the row of one click, but for its end, which `end_row` gives.

    `landed_at_us`: microseconds since 2000-01-01 UTC. Raises struct.error when a number is out of range.
    """
    fixed = _FIXED.pack(
        len(COLUMNS),
        *(16, click.tenant_id, 16, click.id, 16, click.link_id, 16, click.variant_id),
        *(8, click.link_version, 2, click.reason),
        *(1, click.prefetch, 1, bot_reason is not None, 1, False),
        *(2, VERDICT_VERSION, 8, landed_at_us),
    )
    return b"".join(
        (
            fixed,
            _NULL if ip_storage == "none" else _address(click.ip, truncate=ip_storage == "truncated"),
            _text(click.country),
            _referrer_columns(click.referrer),
            _client_columns(click.user_agent),
            _text(bot_reason),
            _text(click.query),
            _campaign_columns(click.query),
            _UUID_LENGTH + click.project_id if click.project_id else _NULL,
            _VISITOR.pack(8, visitor_id),
        )
    )


def end_row(*, is_unique: bool) -> bytes:
    """Give the end of a row."""
    return _UNIQUE if is_unique else _NOT_UNIQUE


def _text(value: str | None) -> bytes:
    """Encode text; empty text is NULL. PostgreSQL's text cannot hold a zero character."""
    if not value:
        return _NULL
    data = value.encode()
    if b"\0" in data:
        data = data.replace(b"\0", "\N{REPLACEMENT CHARACTER}".encode())
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=REMEMBERED)
def _client_columns(user_agent: str) -> bytes:
    client = describe_client(user_agent)
    return b"".join(map(_text, (user_agent, client.browser, client.os, client.device)))


@lru_cache(maxsize=PARAMETERS_REMEMBERED)
def _campaign_columns(query: str) -> bytes:
    said = read_parameters(query)
    return b"".join(
        map(
            _text,
            (
                *(said.campaign, said.ad_group, said.keyword),
                *(said.utm_source, said.utm_medium, said.utm_campaign, said.utm_content, said.utm_term),
            ),
        )
    )


@lru_cache(maxsize=REMEMBERED)
def _referrer_columns(referrer: str) -> bytes:
    return _text(referrer) + _text(find_referrer_domain(referrer))


def _address(ip: str, *, truncate: bool) -> bytes:
    """Encode an inet, cut to a /24 or a /48 or whole. NULL if not an address."""
    data = pack_address(ip)
    if data is None:
        return _NULL
    if len(data) == _V4_BYTES:
        return _V4_HEAD + (data[:3] + bytes(1) if truncate else data)
    return _V6_HEAD + (data[:6] + bytes(10) if truncate else data)
