"""Links as Postgres has them, turned into the records that the edge serves."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote
from uuid import UUID

import idna
import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.links.geo_rules import resolve_geo_rules
from edge.contract.link_record import LinkRecord, LinkState, Stickiness, Variant

if TYPE_CHECKING:
    from collections.abc import Collection

    from control_plane.db.pool import Connection

LinkKey: TypeAlias = tuple[UUID, UUID]
"""(tenant_id, link_id)"""

FIRST_KEY: Final = (UUID(int=0), UUID(int=0))
"""Before the key of any link."""

_STICKINESS: Final = {
    "none": Stickiness.NONE,
    "cookie": Stickiness.COOKIE,
    "fingerprint": Stickiness.FINGERPRINT,
}
_VISIBLE_ASCII: Final = re.compile(r"[!-~]*")
_KEEP: Final = string.ascii_letters + string.digits + string.punctuation
"""Everything visible stays: %xx is encoded already, and braces hold macros."""
_URL_WITH_HOST: Final = re.compile(
    r"([a-z][a-z0-9+.-]*://)([^/?#@]*@)?([^/?#:]*)(.*)", re.IGNORECASE | re.DOTALL
)
_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")
"""The full stop and its ideographic, full-width and half-width kin, all of which divide a host."""

_queries = load_queries(Path(__file__).with_name("publisher.sql"))


class _LinkRow(msgspec.Struct, frozen=True, gc=False):
    """A link as the query gives it. `winner`: index into `variants`; None while undecided."""

    tenant_id: bytes
    id: bytes
    domain: str
    slug: str
    version: int
    is_active: bool
    is_deleted: bool
    routing_type: str
    geo_rules: dict[str, str] | None
    stickiness: str
    forward_query: bool
    project_id: bytes | None
    variants: tuple[Variant, ...]
    winner: int | None


_read_rows = msgspec.json.Decoder(list[_LinkRow]).decode


async def fetch_records(db: Connection, keys: Collection[LinkKey]) -> list[LinkRecord]:
    """Read the records of these links as they now are, in no order; deleted ones too."""
    rows: str = await _queries.fetch_links(
        db, tenant_ids=[tenant_id for tenant_id, _ in keys], link_ids=[link_id for _, link_id in keys]
    )
    return [_build_record(row) for row in _read_rows(rows)]


async def list_keys_after(db: Connection, key: LinkKey, page_size: int) -> list[LinkKey]:
    """List the keys of the next links in the order of their keys, beginning after `key`."""
    rows = _queries.list_links_after(db, tenant_id=key[0], link_id=key[1], page_size=page_size)
    return [(tenant_id, link_id) async for tenant_id, link_id in rows]


def encode_destination(url: str) -> str:
    """Write a URL in visible ASCII: host as IDNA, all else percent-encoded where it must be.

    What is encoded already stays, and so do macros such as {click_id}. Never fails: what IDNA
    does not allow in a host is percent-encoded, which browsers read the same way.
    """
    if _VISIBLE_ASCII.fullmatch(url):
        return url
    if not (parts := _URL_WITH_HOST.fullmatch(url)):
        return quote(url, safe=_KEEP)
    scheme, user, host, rest = parts.groups(default="")
    labels = (_encode_host_label(label) for label in _DOTS.split(host))
    return f"{scheme}{quote(user, safe=_KEEP)}{'.'.join(labels)}{quote(rest, safe=_KEEP)}"


def _encode_host_label(label: str) -> str:
    if _VISIBLE_ASCII.fullmatch(label):
        return label
    try:
        return idna.encode(label, uts46=True).decode()
    except idna.IDNAError:
        return quote(label, safe=_KEEP)


def _build_record(row: _LinkRow) -> LinkRecord:
    labels = [variant.label for variant in row.variants]
    geo_rules, geo_default = resolve_geo_rules(row.routing_type, row.geo_rules, labels)
    return LinkRecord(
        tenant_id=row.tenant_id,
        link_id=row.id,
        slug=row.slug,
        version=row.version,
        state=_find_state(row),
        variants=tuple(map(_with_plain_url, row.variants)),
        geo_rules=geo_rules,
        geo_default=geo_default,
        winner=row.winner,
        stickiness=_STICKINESS[row.stickiness],
        forward_query=row.forward_query,
        domain=row.domain,
        project_id=row.project_id or b"",
    )


def _with_plain_url(variant: Variant) -> Variant:
    if _VISIBLE_ASCII.fullmatch(variant.url):
        return variant
    return Variant(variant.id, variant.label, encode_destination(variant.url), variant.weight)


def _find_state(row: _LinkRow) -> LinkState:
    if row.is_deleted:
        return LinkState.DELETED
    return LinkState.ACTIVE if row.is_active else LinkState.INACTIVE
