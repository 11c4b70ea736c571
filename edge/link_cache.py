"""Link records in memory: bounded, and found without a lock or a wait.

Two tables: links that exist, and slugs that are known not to, for a short time. They are apart so
that a flood of unknown slugs cannot push out real links. Both evict in constant time: the oldest
goes, unless it was used since it was last looked at (CLOCK).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from uuid_utils import UUID

from edge.contract.link_record import LinkState, Stickiness
from edge.destination import Destination

if TYPE_CHECKING:
    from edge.contract.link_record import LinkRecord, Variant

UNKNOWN_SLUGS: Final = 100_000
"""How many unknown slugs are remembered: some 15 MB at most."""


class CachedLink:
    """A record with what a redirect needs of it worked out once."""

    __slots__ = (
        "by_cookie",
        "by_fingerprint",
        "cookie_name",
        "destinations",
        "is_active",
        "record",
        "used",
    )

    def __init__(self, record: LinkRecord) -> None:
        self.record = record
        self.is_active = record.state is LinkState.ACTIVE
        # A geo link and a decided one need no memory of the visitor.
        chooses_by_weight = record.geo_default is None and record.winner is None
        self.by_cookie = chooses_by_weight and record.stickiness is Stickiness.COOKIE
        self.by_fingerprint = chooses_by_weight and record.stickiness is Stickiness.FINGERPRINT
        self.cookie_name = f"sy_{record.slug}"
        self.destinations = {
            variant.id: Destination(variant.url, _link_macros(record, variant)) for variant in record.variants
        }
        self.used = False


def _link_macros(record: LinkRecord, variant: Variant) -> dict[str, str]:
    return {
        "link_id": str(UUID(bytes=record.link_id)),
        "slug": record.slug,
        "variant": variant.label,
        "variant_id": str(UUID(bytes=variant.id)),
    }


class LinkCache:
    """`size`: links kept. `unknown_ttl_s`: how long a slug is believed not to exist."""

    def __init__(self, *, size: int, unknown_ttl_s: float) -> None:
        self._size = size
        self._unknown_ttl_s = unknown_ttl_s
        self._links: OrderedDict[str, CachedLink] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, slug: str) -> bool:
        return slug in self._links

    def get(self, slug: str) -> CachedLink | None:
        """Give the link when it is in memory."""
        link = self._links.get(slug)
        if link is not None:
            link.used = True
        return link

    def is_unknown(self, slug: str, now_s: float) -> bool:
        """Tell whether the slug was found not to exist a moment ago. `now_s`: monotonic seconds."""
        expires = self._unknown.get(slug)
        if expires is None:
            return False
        if expires > now_s:
            return True
        del self._unknown[slug]
        return False

    def put(self, record: LinkRecord) -> CachedLink:
        """Keep a record, unless a newer version of it is here already. Give what is kept."""
        slug = record.slug
        present = self._links.get(slug)
        if present is not None and present.record.version > record.version:
            return present
        self._unknown.pop(slug, None)
        if present is None and len(self._links) >= self._size:
            self._evict()
        link = self._links[slug] = CachedLink(record)
        return link

    def put_unknown(self, slug: str, now_s: float) -> None:
        """Remember that a slug does not exist. `now_s`: monotonic seconds."""
        self._links.pop(slug, None)
        if len(self._unknown) >= UNKNOWN_SLUGS:
            self._unknown.popitem(last=False)
        self._unknown[slug] = now_s + self._unknown_ttl_s
        self._unknown.move_to_end(slug)

    def forget_unknown(self, slug: str) -> None:
        """Drop the belief that a slug does not exist."""
        self._unknown.pop(slug, None)

    def clear(self) -> None:
        """Forget everything."""
        self._links.clear()
        self._unknown.clear()

    def _evict(self) -> None:
        while True:
            slug, link = self._links.popitem(last=False)
            if not link.used:
                return
            link.used = False
            self._links[slug] = link
