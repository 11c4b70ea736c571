"""Link records in memory: bounded, and found without a lock or a wait.

Every link is kept as the bytes of its record. Those that visitors ask for are compiled: taken apart,
with what a redirect needs of them worked out once. So a million links fit, and popular ones, which
get most clicks, cost one look-up in a table.

Links and slugs that are known not to exist are apart, so that a flood of unknown slugs cannot push
out real links. Everything is bounded and evicts in constant time: of links and of compiled ones the
oldest goes, unless it was used since it was last looked at (CLOCK, with a bound on the search).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from uuid_utils import UUID

from edge.contract.link_record import LinkRecord, LinkState, Stickiness
from edge.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.contract.link_record import Variant

log = structlog.get_logger()

UNKNOWN_SLUGS: Final = 100_000
"""How many unknown slugs are remembered: some 15 MB at most.

A worker looks up far fewer than 50,000 slugs a second, so that each is remembered for its two
seconds, whatever the flood."""
COMPILED_LINKS: Final = 50_000
"""How many links are kept compiled, at some 2 KB each. Of 1,000,000 links whose popularity goes
by Zipf's law, these get four clicks in five."""
EVICTION_LOOKS: Final = 64
"""How many links in use an eviction spares before one has to go: no visitor waits for a long search."""

_encode_loosely = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LinkRecord).decode


def _encode(record: LinkRecord) -> bytes:
    # Copied, because the encoder's bytes sit in a block of memory with room to grow.
    return bytes(memoryview(_encode_loosely(record)))


# Bound once: before Python 3.12 to look an enum's member up costs more than to compare it.
_ACTIVE, _COOKIE, _FINGERPRINT = LinkState.ACTIVE, Stickiness.COOKIE, Stickiness.FINGERPRINT


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
        "was_spared",
    )

    def __init__(self, record: LinkRecord) -> None:
        self.record = record
        self.is_active = record.state is _ACTIVE
        # A geo link and a decided one need no memory of the visitor.
        chooses_by_weight = record.geo_default is None and record.winner is None
        stickiness = record.stickiness
        self.by_cookie = chooses_by_weight and stickiness is _COOKIE
        self.by_fingerprint = chooses_by_weight and stickiness is _FINGERPRINT
        self.cookie_name = f"sy_{record.slug}"
        self.destinations = _Destinations(record)
        self.used = False
        self.was_spared = False


class _Destinations(dict[bytes, Destination]):
    """A link's destinations by variant id, each taken apart when it is first needed."""

    __slots__ = ("_record",)

    def __init__(self, record: LinkRecord) -> None:
        self._record = record

    def __missing__(self, variant_id: bytes) -> Destination:
        variant = next(variant for variant in self._record.variants if variant.id == variant_id)
        destination = self[variant_id] = Destination(variant.url, _link_macros(self._record, variant))
        return destination


def _link_macros(record: LinkRecord, variant: Variant) -> dict[str, str]:
    if "{" not in variant.url:
        return {}
    return {
        "link_id": str(UUID(bytes=record.link_id)),
        "slug": record.slug,
        "variant": variant.label,
        "variant_id": str(UUID(bytes=variant.id)),
    }


class RecentSlugs:
    """Slugs that are remembered for `ttl_s` seconds; `size` of them at most, then the oldest goes."""

    def __init__(self, *, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._expiry_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expiry_s)

    def holds(self, slug: str, now_s: float) -> bool:
        """Tell whether the slug was added a moment ago. `now_s`: monotonic seconds."""
        expires = self._expiry_s.get(slug)
        if expires is None:
            return False
        if expires > now_s:
            return True
        del self._expiry_s[slug]
        return False

    def add(self, slug: str, now_s: float) -> None:
        """Remember a slug from now on. `now_s`: monotonic seconds."""
        self._expiry_s[slug] = now_s + self._ttl_s
        self._expiry_s.move_to_end(slug)
        if len(self._expiry_s) > self._size:
            self._expiry_s.popitem(last=False)

    def discard(self, slug: str) -> None:
        """Forget a slug, if it is remembered."""
        self._expiry_s.pop(slug, None)

    def clear(self) -> None:
        """Forget them all."""
        self._expiry_s.clear()


class _Stored(msgspec.Struct, gc=False):
    """A link as it is kept: the record in MessagePack, and whether it was used since last looked at."""

    value: bytes
    used: bool = False


class LinkCache:
    """`size`: links kept. `unknown_ttl_s`: how long a slug is believed not to exist."""

    def __init__(self, *, size: int, unknown_ttl_s: float, compiled: int = COMPILED_LINKS) -> None:
        self._size = size
        self._compiled_size = compiled
        self._stored: dict[str, _Stored] = {}
        # The order in which links are looked at for eviction. A dict keeps one too, but finding its
        # oldest key is not O(1) once others were deleted. May name links that are gone.
        self._ring: deque[str] = deque()
        self._compiled: OrderedDict[str, CachedLink] = OrderedDict()
        # Slugs of links that wait for a second visitor: while there is no room, one alone compiles nothing.
        self._asked_once: set[str] = set()
        self._unknown = RecentSlugs(size=UNKNOWN_SLUGS, ttl_s=unknown_ttl_s)
        self.revision = 0
        """Grows with every change of what is kept."""

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, slug: str) -> bool:
        return slug in self._stored

    @property
    def is_full(self) -> bool:
        """Whether another link pushes one out."""
        return len(self._stored) >= self._size

    def get(self, slug: str) -> CachedLink | None:
        """Give the link when it is in memory."""
        link = self._compiled.get(slug)
        if link is not None:
            link.used = True
            return link
        stored = self._stored.get(slug)
        if stored is None:
            return None
        stored.used = True
        return self._compile(slug, stored)

    def is_unknown(self, slug: str, now_s: float) -> bool:
        """Tell whether the slug was found not to exist a moment ago. `now_s`: monotonic seconds."""
        return self._unknown.holds(slug, now_s)

    def put(self, record: LinkRecord) -> CachedLink:
        """Keep a link that a visitor asks for, unless a newer version is here. Give what is kept."""
        newest = self.store(record)
        link = self._compiled.get(record.slug)
        return link or self._keep_compiled(record.slug, CachedLink(newest))

    def store(self, record: LinkRecord) -> LinkRecord:
        """Keep a link without compiling it, unless a newer version is here. Give what is kept."""
        slug = record.slug
        self._unknown.discard(slug)
        present = self._stored.get(slug)
        if present is None:
            if self.is_full:
                self._evict()
            self._append(slug, _Stored(_encode(record)))
            return record
        known = self._read(slug, present)
        if known is not None and known.version > record.version:
            return known
        present.value = _encode(record)
        self.revision += 1
        if slug in self._compiled:
            self._compiled[slug] = CachedLink(record)
        return record

    def restore(self, values: dict[str, bytes]) -> None:
        """Keep links as `read_values` gave them, of which those that are here already are newer."""
        for slug, value in values.items():
            if not self.is_full and slug not in self._stored:
                self._append(slug, _Stored(value))

    def list_slugs(self) -> list[str]:
        """Name every link that is kept."""
        return list(self._stored)

    def read_values(self, slugs: Iterable[str]) -> dict[str, bytes]:
        """Give the records, in MessagePack, of those links that are still kept."""
        return {slug: self._stored[slug].value for slug in slugs if slug in self._stored}

    def put_unknown(self, slug: str, now_s: float) -> None:
        """Remember that a slug does not exist. `now_s`: monotonic seconds."""
        self._remove(slug)
        self._unknown.add(slug, now_s)

    def forget_unknown(self, slug: str) -> None:
        """Drop the belief that a slug does not exist."""
        self._unknown.discard(slug)

    def clear(self) -> None:
        """Forget everything."""
        self._stored.clear()
        self._ring.clear()
        self._compiled.clear()
        self._asked_once.clear()
        self._unknown.clear()
        self.revision += 1

    def _append(self, slug: str, stored: _Stored) -> None:
        self._stored[slug] = stored
        self._ring.append(slug)
        self.revision += 1
        if len(self._ring) > 2 * self._size:  # half of it are links that are gone
            self._ring = deque(self._stored)

    def _remove(self, slug: str) -> None:
        if self._stored.pop(slug, None) is not None:
            self._compiled.pop(slug, None)
            self.revision += 1

    def _evict(self) -> None:
        """Remove the oldest link that was not used of late."""
        looks = 0
        while True:
            slug = self._ring.popleft()
            stored = self._stored.get(slug)
            if stored is None:
                continue
            link = self._compiled.get(slug)
            is_used = stored.used or (link is not None and link.used)
            if not is_used or looks == EVICTION_LOOKS:
                self._remove(slug)
                return
            stored.used = False
            if link is not None:
                link.used = False
            self._ring.append(slug)
            looks += 1

    def _compile(self, slug: str, stored: _Stored) -> CachedLink | None:
        record = self._read(slug, stored)
        if record is None:
            self._remove(slug)
            return None
        link = CachedLink(record)
        if len(self._compiled) < self._compiled_size or slug in self._asked_once:
            self._asked_once.discard(slug)
            return self._keep_compiled(slug, link)
        if len(self._asked_once) >= self._compiled_size:
            self._asked_once.clear()
        self._asked_once.add(slug)
        return link

    def _keep_compiled(self, slug: str, link: CachedLink) -> CachedLink:
        if len(self._compiled) >= self._compiled_size:
            self._evict_compiled()
        self._compiled[slug] = link
        return link

    def _evict_compiled(self) -> None:
        """Let go of the oldest compiled link that was not used of late; its record stays."""
        slug, link = self._compiled.popitem(last=False)
        for _ in range(EVICTION_LOOKS):
            if not link.used:
                break
            link.used = False
            link.was_spared = True
            self._compiled[slug] = link
            slug, link = self._compiled.popitem(last=False)
        if link.was_spared:
            self._stored[slug].used = True

    def _read(self, slug: str, stored: _Stored) -> LinkRecord | None:
        """Decode a record; None when it cannot be read, as one from a snapshot may be."""
        try:
            return _decode(stored.value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            log.exception("cached_record_unreadable", slug=slug)
            return None
