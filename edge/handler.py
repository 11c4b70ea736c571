"""Decides where each visitor goes, and writes the click down before the answer leaves.

`Handler.answer` is one synchronous step without I/O: link from memory, choice, click into the
journal, Location. Between the click and the answer nothing can wait, so a client that received a
302 always has its click in the journal. Time and chance come in as callables.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_intdigest

from edge.contract.events import Click, encode_event
from edge.contract.selection import choose
from edge.counters import Counter
from edge.custom_domains import OWN_NAMES
from edge.journal import JournalFullError
from edge.link_feed import LinksUnavailableError
from edge.request import RESERVED, EdgeRequest, EdgeResponse, is_prefetch
from edge.visitors import Visitors, encode_any_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from uuid_utils import UUID

    from edge.contract.link_record import Variant
    from edge.custom_domains import Site
    from edge.geo import CountryLookup
    from edge.journal import Journal
    from edge.link_cache import CachedLink, LinkCache
    from edge.link_feed import LinkFeed
    from edge.request import Headers, ProxyTrust

WELL_KNOWN: Final = "/.well-known/"
"""Where a custom domain shows that it is its tenant's, as it did before it led here."""
USER_AGENT_LENGTH: Final = 1024
REFERRER_LENGTH: Final = 2048
QUERY_LENGTH: Final = 4096
"""What a click keeps of these, in characters; the redirect itself forwards all of the query."""

# Plain integers: an enum's member costs as much as the bump.
_CACHE_MISSES = int(Counter.CACHE_MISSES)
_GONE = int(Counter.GONE)
_HEAD = int(Counter.HEAD)
_JOURNAL_FULL = int(Counter.JOURNAL_FULL)
_LINKS_UNAVAILABLE = int(Counter.LINKS_UNAVAILABLE)
_PREFETCH = int(Counter.PREFETCH)
_REFUSED = int(Counter.REFUSED)
_SERVED = int(Counter.SERVED)
_UNKNOWN = int(Counter.UNKNOWN)

_SLUG = re.compile(r"[A-Za-z0-9_-]{3,32}")
_NO_STORE = ("cache-control", "no-store")
_TEXT = ("content-type", "text/plain; charset=utf-8")


def _refuse(status: int, sentence: str, *headers: tuple[str, str]) -> EdgeResponse:
    return EdgeResponse(status, [_NO_STORE, _TEXT, *headers], sentence.encode() + b"\n")


UNKNOWN_LINK: Final = _refuse(404, "There is no such link.")
GONE_LINK: Final = _refuse(410, "This link is no longer active.")
LINKS_UNAVAILABLE: Final = _refuse(503, "Links cannot be looked up right now.", ("retry-after", "1"))
JOURNAL_FULL: Final = _refuse(503, "Clicks cannot be recorded right now.", ("retry-after", "5"))
METHOD_REFUSED: Final = _refuse(405, "A link answers GET and HEAD.", ("allow", "GET, HEAD"))


class Handler:
    """One worker's decisions. `cookie_max_age_s`: how long a visitor stays on a variant.

    `fingerprint_seed`: 64 bits of a secret that all edges share. `new_id` gives UUIDv7, `draw`
    a number that is uniform in [0, 1). `answer_reserved`: answers what lies below
    RESERVED, if it can at once.
    """

    def __init__(  # noqa: PLR0913  the parts of a worker, put together in one place (worker.py)
        self,
        *,
        cache: LinkCache,
        feed: LinkFeed,
        journal: Journal,
        countries: CountryLookup,
        trust: ProxyTrust,
        cookie_max_age_s: int,
        fingerprint_seed: int,
        new_id: Callable[[], UUID],
        draw: Callable[[], float],
        answer_reserved: Callable[[EdgeRequest], EdgeResponse | None],
    ) -> None:
        self._cache = cache
        self._domains = cache.domains
        self._feed = feed
        self._journal = journal
        self._count = journal.counters.values
        self._identify = Visitors(countries, trust).identify
        self._answer_reserved = answer_reserved
        self._trust = trust
        self._cookie_max_age_s = cookie_max_age_s
        self._fingerprint_seed = fingerprint_seed
        self._new_id = new_id
        self._draw = draw

    def answer(self, request: EdgeRequest) -> EdgeResponse | None:
        """Answer a request for a link; None when it is for none, or the link must be loaded first."""
        if self._domains.matter:
            return self._answer_by_host(request)
        path = request.path
        link = self._cache.get(path[1:]) or self._cache.get(read_slug(path))
        if (
            link is not None
            and link.is_active
            and not link.is_of_custom_domain  # whose key a path of the service's own names can spell
            and request.method in ("GET", "HEAD")
        ):
            return self._redirect(link, request)
        return self._answer_without_link(OWN_NAMES, link, request)

    def _answer_by_host(self, request: EdgeRequest) -> EdgeResponse | None:
        path, site = request.path, self._find_site(request)
        if site is None:
            return self._answer_reserved(request) if path.startswith(RESERVED) else self._refuse_for_now()
        prefix = site.prefix
        link = self._cache.get(prefix + path[1:]) or self._cache.get(prefix + read_slug(path))
        if link is not None and site.leads_to(link) and request.method in ("GET", "HEAD"):
            return self._redirect(link, request)
        return self._answer_without_link(site, link, request)

    def _answer_without_link(
        self, site: Site, link: CachedLink | None, request: EdgeRequest
    ) -> EdgeResponse | None:
        """Answer a request that no link in memory is for. `link`: the one that its path names, if any."""
        path = request.path
        if path.startswith(RESERVED):
            return self._answer_reserved(request)
        if request.method not in ("GET", "HEAD"):
            self._count[_REFUSED] += 1
            return METHOD_REFUSED
        if path.startswith(WELL_KNOWN) and path == site.record.proof_path:
            return EdgeResponse(200, [_NO_STORE, _TEXT], site.record.proof.encode())
        if link is not None and link.record.domain == site.domain:
            self._count[_GONE] += 1
            return GONE_LINK
        slug = read_slug(path)
        if _SLUG.fullmatch(slug) and not self._cache.is_unknown(site.prefix + slug, time.monotonic()):
            return None
        self._count[_UNKNOWN] += 1
        return UNKNOWN_LINK

    def _refuse_for_now(self) -> EdgeResponse:
        self._count[_LINKS_UNAVAILABLE] += 1
        return LINKS_UNAVAILABLE

    def _find_site(self, request: EdgeRequest) -> Site | None:
        """Tell by its host what a request is for; None while the custom domains are not known."""
        if not self._domains.are_known:
            return None
        headers = request.headers
        host = headers.get("x-forwarded-host") if self._trust.trusts(request.peer) else None
        return self._domains.by_host[host or request.authority or headers.get("host") or ""]

    async def load_and_answer(self, request: EdgeRequest) -> EdgeResponse:
        """Answer a request whose link is not in memory."""
        self._count[_CACHE_MISSES] += 1
        site = self._find_site(request)
        if site is None:
            return self._refuse_for_now()
        try:
            link = await self._feed.load(site.prefix + read_slug(request.path))
        except LinksUnavailableError:
            return self._refuse_for_now()
        if link is None:
            self._count[_UNKNOWN] += 1
            return UNKNOWN_LINK
        # Answered from the link in hand: the cache may have let it go again already.
        if not site.leads_to(link):
            self._count[_GONE] += 1
            return GONE_LINK
        return self._redirect(link, request)

    def _redirect(self, link: CachedLink, request: EdgeRequest) -> EdgeResponse:
        headers, record = request.headers, link.record
        ip, country, is_secure = self._identify(request)
        pinned = fingerprint = None
        uses_cookie = link.by_cookie and headers.get("sec-gpc") != "1"
        if uses_cookie:
            pinned = read_pinned_variant(headers, link.cookie_name)
        elif link.by_fingerprint:
            fingerprint = self._take_fingerprint(ip, headers)
        choice = choose(record, country, pinned, fingerprint, self._draw())
        variant, click_id, query = choice.variant, self._new_id(), request.query

        if request.method == "GET":
            click = Click(
                click_id.bytes,
                record.tenant_id,
                record.link_id,
                variant.id,
                record.version,
                int(choice.reason),  # an enum takes the encoder three times as long
                ip,
                country,
                (headers.get("referer") or "")[:REFERRER_LENGTH],
                (headers.get("user-agent") or "")[:USER_AGENT_LENGTH],
                query[:QUERY_LENGTH],
                is_prefetch(headers),
                record.project_id,
            )
            if not self._record(click):
                return JOURNAL_FULL
        else:
            self._count[_HEAD] += 1

        if not record.forward_query:
            query = ""
        answer = [("location", link.destinations[variant.id].locate(query, click_id, country)), _NO_STORE]
        if uses_cookie and variant.id != pinned:
            answer.append(("set-cookie", self._pin(link, variant, secure=is_secure)))
        return EdgeResponse(302, answer)

    def _take_fingerprint(self, ip: str, headers: Headers) -> int:
        seen = f"{ip}\0{headers.get('user-agent') or ''}"
        return xxh3_64_intdigest(seen.encode(errors="replace"), self._fingerprint_seed)

    def _record(self, click: Click) -> bool:
        """Write the click down, and count it; False when the journal is full."""
        try:
            payload = encode_event(click)
        except UnicodeEncodeError:
            payload = encode_any_text(click)
        try:
            self._journal.append(payload)
        except JournalFullError:
            self._count[_JOURNAL_FULL] += 1
            return False
        self._count[_SERVED] += 1
        if click.prefetch:
            self._count[_PREFETCH] += 1
        return True

    def _pin(self, link: CachedLink, variant: Variant, *, secure: bool) -> str:
        cookie = (
            f"{link.cookie_name}={variant.id.hex()}; Path=/{link.record.slug}"
            f"; Max-Age={self._cookie_max_age_s}; HttpOnly; SameSite=Lax"
        )
        return f"{cookie}; Secure" if secure else cookie


def read_slug(path: str) -> str:
    """Give the slug that a path names: `/summer` and `/summer/` are one link."""
    return path[1:].removesuffix("/")


def read_pinned_variant(headers: Headers, cookie_name: str) -> bytes | None:
    """Give the variant id in the visitor's cookie; None when there is none that makes sense."""
    cookies = headers.get("cookie")
    if cookies is None:
        return None
    name, length = cookie_name + "=", len(cookie_name) + 1
    for cookie in cookies.split(";"):
        pair = cookie.lstrip()
        if pair.startswith(name):
            try:
                return bytes.fromhex(pair[length:])
            except ValueError:
                return None
    return None
