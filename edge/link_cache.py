"""Link records in memory: bounded, and found without a lock or a wait.

Every link is kept as the bytes of its record. Those that visitors ask for are compiled: taken apart,
with what a redirect needs of them worked out once. So a million links fit, and popular ones, which
get most clicks, cost one look-up in a table.

A link's key is its slug, behind its domain if that is a custom one (redis_keys.link_key).

Links and keys that are known not to exist are apart, so that a flood of unknown keys cannot push
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
from edge.custom_domains import CustomDomains
from edge.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.contract.link_record import Variant

log = structlog.get_logger()

UNKNOWN_KEYS: Final = 100_000
"""How many unknown keys are remembered: some 15 MB for slugs, and with each a domain's
name where there are custom ones.

A worker looks up far fewer than 50,000 keys a second, so that each is remembered for its two
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
        "is_of_custom_domain",
        "record",
        "used",
        "was_spared",
    )

    def __init__(self, record: LinkRecord) -> None:
        self.record = record
        self.is_active = record.state is _ACTIVE
        self.is_of_custom_domain = record.domain != ""
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


class RecentKeys:
    """Keys that are remembered for `ttl_s` seconds; `size` of them at most, then the oldest goes."""

    def __init__(self, *, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._expiry_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expiry_s)

    def holds(self, key: str, now_s: float) -> bool:
        """Tell whether the key was added a moment ago. `now_s`: monotonic seconds."""
        expires = self._expiry_s.get(key)
        if expires is None:
            return False
        if expires > now_s:
            return True
        del self._expiry_s[key]
        return False

    def add(self, key: str, now_s: float) -> None:
        """Remember a key from now on. `now_s`: monotonic seconds."""
        self._expiry_s[key] = now_s + self._ttl_s
        self._expiry_s.move_to_end(key)
        if len(self._expiry_s) > self._size:
            self._expiry_s.popitem(last=False)

    def discard(self, key: str) -> None:
        """Forget a key, if it is remembered."""
        self._expiry_s.pop(key, None)

    def clear(self) -> None:
        """Forget them all."""
        self._expiry_s.clear()


class _Stored(msgspec.Struct, gc=False):
    """A link as it is kept: the record in MessagePack, and whether it was used since last looked at."""

    value: bytes
    used: bool = False


class LinkCache:
    """`size`: links kept. `unknown_ttl_s`: how long a key is believed not to exist."""

    def __init__(self, *, size: int, unknown_ttl_s: float, compiled: int = COMPILED_LINKS) -> None:
        self._size = size
        self._compiled_size = compiled
        self._stored: dict[str, _Stored] = {}
        # The order in which links are looked at for eviction. A dict keeps one too, but finding its
        # oldest key is not O(1) once others were deleted. May name links that are gone.
        self._ring: deque[str] = deque()
        self._compiled: OrderedDict[str, CachedLink] = OrderedDict()
        # Keys of links that wait for a second visitor: while there is no room, one alone compiles nothing.
        self._asked_once: set[str] = set()
        self._unknown = RecentKeys(size=UNKNOWN_KEYS, ttl_s=unknown_ttl_s)
        self.revision = 0
        """Grows with every change of the links that are kept."""
        self.domains = CustomDomains()
        """What tells whose links a host leads to; `clear` leaves it as it is."""

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, key: str) -> bool:
        return key in self._stored

    @property
    def is_full(self) -> bool:
        """Whether another link pushes one out."""
        return len(self._stored) >= self._size

    def get(self, key: str) -> CachedLink | None:
        """Give the link when it is in memory."""
        link = self._compiled.get(key)
        if link is not None:
            link.used = True
            return link
        stored = self._stored.get(key)
        if stored is None:
            return None
        stored.used = True
        return self._compile(key, stored)

    def is_unknown(self, key: str, now_s: float) -> bool:
        """Tell whether the key was found not to exist a moment ago. `now_s`: monotonic seconds."""
        return self._unknown.holds(key, now_s)

    def put(self, record: LinkRecord) -> CachedLink:
        """Keep a link that a visitor asks for, unless a newer version is here. Give what is kept."""
        newest, key = self.store(record), record.key
        return self._compiled.get(key) or self._keep_compiled(key, CachedLink(newest))

    def store(self, record: LinkRecord) -> LinkRecord:
        """Keep a link without compiling it, unless a newer version is here. Give what is kept."""
        key = record.key
        self._unknown.discard(key)
        present = self._stored.get(key)
        if present is None:
            if self.is_full:
                self._evict()
            self._append(key, _Stored(_encode(record)))
            return record
        known = self._read(key, present)
        if known is not None and known.version > record.version:
            return known
        present.value = _encode(record)
        self.revision += 1
        if key in self._compiled:
            self._compiled[key] = CachedLink(record)
        return record

    def restore(self, values: dict[str, bytes]) -> None:
        """Keep links as `read_values` gave them, of which those that are here already are newer."""
        for key, value in values.items():
            if not self.is_full and key not in self._stored:
                self._append(key, _Stored(value))

    def list_keys(self) -> list[str]:
        """Name every link that is kept."""
        return list(self._stored)

    def read_values(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Give the records, in MessagePack, of those links that are still kept."""
        return {key: self._stored[key].value for key in keys if key in self._stored}

    def put_unknown(self, key: str, now_s: float) -> None:
        """Remember that a key does not exist. `now_s`: monotonic seconds."""
        self._remove(key)
        self._unknown.add(key, now_s)

    def forget_unknown(self, key: str) -> None:
        """Drop the belief that a key does not exist."""
        self._unknown.discard(key)

    def clear(self) -> None:
        """Forget every link."""
        self._stored.clear()
        self._ring.clear()
        self._compiled.clear()
        self._asked_once.clear()
        self._unknown.clear()
        self.revision += 1

    def _append(self, key: str, stored: _Stored) -> None:
        self._stored[key] = stored
        self._ring.append(key)
        self.revision += 1
        if len(self._ring) > 2 * self._size:  # half of it are links that are gone
            self._ring = deque(self._stored)

    def _remove(self, key: str) -> None:
        if self._stored.pop(key, None) is not None:
            self._compiled.pop(key, None)
            self.revision += 1

    def _evict(self) -> None:
        """Remove the oldest link that was not used of late."""
        looks = 0
        while True:
            key = self._ring.popleft()
            stored = self._stored.get(key)
            if stored is None:
                continue
            link = self._compiled.get(key)
            is_used = stored.used or (link is not None and link.used)
            if not is_used or looks == EVICTION_LOOKS:
                self._remove(key)
                return
            stored.used = False
            if link is not None:
                link.used = False
            self._ring.append(key)
            looks += 1

    def _compile(self, key: str, stored: _Stored) -> CachedLink | None:
        record = self._read(key, stored)
        if record is None:
            self._remove(key)
            return None
        link = CachedLink(record)
        if len(self._compiled) < self._compiled_size or key in self._asked_once:
            self._asked_once.discard(key)
            return self._keep_compiled(key, link)
        if len(self._asked_once) >= self._compiled_size:
            self._asked_once.clear()
        self._asked_once.add(key)
        return link

    def _keep_compiled(self, key: str, link: CachedLink) -> CachedLink:
        if len(self._compiled) >= self._compiled_size:
            self._evict_compiled()
        self._compiled[key] = link
        return link

    def _evict_compiled(self) -> None:
        """Let go of the oldest compiled link that was not used of late; its record stays."""
        key, link = self._compiled.popitem(last=False)
        for _ in range(EVICTION_LOOKS):
            if not link.used:
                break
            link.used = False
            link.was_spared = True
            self._compiled[key] = link
            key, link = self._compiled.popitem(last=False)
        if link.was_spared:
            self._stored[key].used = True

    def _read(self, key: str, stored: _Stored) -> LinkRecord | None:
        """Decode a record; None when it cannot be read, as one from a snapshot may be."""
        try:
            return _decode(stored.value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            log.exception("cached_record_unreadable", key=key)
            return None
