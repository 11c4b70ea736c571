"""A handler as its tests run it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import uuid_utils

from edge.contract.domain_record import DomainRecord, encode_domain
from edge.contract.events import Click, decode_event, split_frames
from edge.geo import CountryLookup
from edge.handler import Handler
from edge.journal import Journal
from edge.link_cache import LinkCache
from edge.request import ProxyTrust
from tests.edge.factories import TENANT, make_request

if TYPE_CHECKING:
    from pathlib import Path

    from edge.counters import Counter
    from edge.link_cache import CachedLink
    from edge.request import EdgeResponse


class Room:
    is_full = False

    def allows(self, _more_bytes: int) -> bool:
        return not self.is_full

    def refuse_for_now(self) -> None:
        self.is_full = True


class Feed:
    """What a look-up in Redis gives: a link, None, or a fault."""

    def __init__(self) -> None:
        self.result: CachedLink | Exception | None = None
        self.asked: list[str] = []

    async def load(self, slug: str) -> CachedLink | None:
        self.asked.append(slug)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Edge:
    """A handler with all that it needs, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self.room = Room()
        self.journal = Journal.create(folder / uuid.uuid4().hex, segment_bytes=1 << 20, room=self.room)
        self.cache = LinkCache(size=100, unknown_ttl_s=60)
        self.cache.domains.replace({})
        self.feed = Feed()
        self.draw = 0.0
        self.handler = Handler(
            cache=self.cache,
            feed=self.feed,  # type: ignore[arg-type]  # only `load` is needed
            journal=self.journal,
            countries=CountryLookup(database="", header="CF-IPCountry"),
            trust=ProxyTrust("10.0.0.0/8"),
            cookie_max_age_s=3600,
            fingerprint_seed=7,
            new_id=uuid_utils.uuid7,
            draw=lambda: self.draw,
            answer_reserved=lambda _request: None,
        )

    def add_domain(self, domain: str, tenant_id: bytes = TENANT, version: int = 1) -> None:
        self.cache.domains.put(domain, encode_domain(DomainRecord(domain, version, tenant_id)))

    def get(
        self, path: str = "/summer", *headers: tuple[str, str], **facts: str
    ) -> tuple[int, dict[str, str]]:
        response = self.handler.answer(make_request(path, *headers, **facts))
        assert response is not None
        return response.status, _as_dict(response)

    def clicks(self) -> list[Click]:
        self.journal.cut()
        return [
            event
            for cut in self.journal.unshipped
            for payload in split_frames(self.journal.read_chunk(cut).body)
            if isinstance(event := decode_event(payload), Click)
        ]

    def count(self, counter: Counter) -> int:
        return self.journal.counters.values[counter]


def _as_dict(response: EdgeResponse) -> dict[str, str]:
    assert len({name for name, _ in response.headers}) == len(response.headers)
    return dict(response.headers)
