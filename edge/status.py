"""What the edge says about itself: /_/health and /_/metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from edge.counters import Counter, count_accepted
from edge.request import EdgeResponse

if TYPE_CHECKING:
    from edge.link_cache import LinkCache
    from edge.link_feed import LinkFeed
    from edge.shipper import Shipper
    from edge.snapshot import SnapshotKeeper
    from edge.spool import Spool


_METRICS: Final = {
    Counter.SERVED: ("switchyard_edge_redirects_total", "Redirects answered to GET; each has one click"),
    Counter.JOURNALED: ("switchyard_edge_events_journaled_total", "Events written to the journals"),
    Counter.SHIPPED: ("switchyard_edge_events_shipped_total", "Events sent to the event stream"),
    Counter.LANDED: ("switchyard_edge_events_landed_total", "Events that are in Postgres"),
    Counter.HEAD: (
        "switchyard_edge_head_redirects_total",
        "Redirects answered to HEAD, never counted as clicks",
    ),
    Counter.UNKNOWN: ("switchyard_edge_unknown_links_total", "404 answers"),
    Counter.GONE: ("switchyard_edge_gone_links_total", "410 answers"),
    Counter.LINKS_UNAVAILABLE: (
        "switchyard_edge_links_unavailable_total",
        "503: link could not be looked up",
    ),
    Counter.JOURNAL_FULL: (
        "switchyard_edge_journal_full_total",
        "503: click or report could not be recorded",
    ),
    Counter.REFUSED: ("switchyard_edge_requests_refused_total", "Requests that no link answers"),
    Counter.PREFETCH: ("switchyard_edge_prefetch_redirects_total", "Redirects fetched ahead of the visitor"),
    Counter.CUT_SHORT: ("switchyard_edge_journal_damage_total", "Damaged journal tails that were cut"),
    Counter.LOST: ("switchyard_edge_events_lost_total", "Events that damaged journals could not give back"),
    Counter.VISITS: ("switchyard_edge_visits_total", "Visits of pages that were accepted"),
    Counter.PAGE_CLICKS: ("switchyard_edge_page_clicks_total", "Clicks on elements of pages, accepted"),
    Counter.CONVERSIONS: (
        "switchyard_edge_conversions_total",
        "Checkouts, sales, refunds and upsells that were accepted",
    ),
    Counter.REPORTS_MALFORMED: (
        "switchyard_edge_reports_malformed_total",
        "400, 405: reports of pages and postbacks with a fault in them",
    ),
    Counter.REPORTS_FORBIDDEN: (
        "switchyard_edge_reports_forbidden_total",
        "401, 403: reports that are not authorised, or not taken by their project",
    ),
    Counter.REPORTS_UNKNOWN: (
        "switchyard_edge_reports_unknown_total",
        "404: reports for a project that does not exist",
    ),
    Counter.REPORTS_UNAVAILABLE: (
        "switchyard_edge_reports_unavailable_total",
        "503: reports whose project or key could not be looked up",
    ),
    Counter.CACHE_MISSES: ("switchyard_edge_link_cache_misses_total", "Links that had to be asked of Redis"),
}

_JSON = ("content-type", "application/json")
_PLAIN = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
_NO_STORE = ("cache-control", "no-store")


class Events(msgspec.Struct, frozen=True):
    """The path of every event on this host. When nothing is under way journaled, shipped and landed agree.

    And then they are `served` (redirects) and `taken` (visits, clicks and conversions of pages and
    servers) together. `lost`: journaled events that a damaged journal could not give back; they never land.
    """

    served: int
    journaled: int
    shipped: int
    landed: int
    lag_events: int
    lag_ms: int
    lost: int = 0
    taken: int = 0


class JournalUse(msgspec.Struct, frozen=True):
    """Room that the journals of this host take."""

    journals: int
    used_bytes: int
    budget_bytes: int


class Health(msgspec.Struct, frozen=True):
    """Answer of /_/health. `problems`: what is wrong, in sentences; empty when all is well.

    `snapshot_age_s`: how old the links are, while they come from this host's disk; else None.
    `clock_ms`: Unix milliseconds by this host's clock, which dates the clicks.
    """

    live: bool
    ready: bool
    redis: bool
    links_ready: bool
    cached_links: int
    events: Events
    journal: JournalUse
    problems: list[str]
    snapshot_age_s: int | None = None
    clock_ms: int = 0


class Status:
    """Reads the state of a worker and of the host's journals."""

    def __init__(
        self, *, spool: Spool, cache: LinkCache, feed: LinkFeed, shipper: Shipper, snapshot: SnapshotKeeper
    ) -> None:
        self._spool = spool
        self._cache = cache
        self._feed = feed
        self._shipper = shipper
        self._snapshot = snapshot

    def answer(self, path: str) -> EdgeResponse:
        """Answer a request below RESERVED."""
        match path:
            case "/_/health/live":
                return EdgeResponse(200, [_JSON, _NO_STORE], b'{"live":true}')
            case "/_/health/ready":
                ready = self.is_ready
                body = b'{"ready":true}' if ready else b'{"ready":false}'
                return EdgeResponse(200 if ready else 503, [_JSON, _NO_STORE], body)
            case "/_/health":
                health = self.read_health()
                return EdgeResponse(
                    200 if health.ready else 503, [_JSON, _NO_STORE], msgspec.json.encode(health)
                )
            case "/_/metrics":
                return EdgeResponse(200, [_PLAIN, _NO_STORE], self._render_metrics().encode())
            case _:
                return EdgeResponse(404, [_PLAIN, _NO_STORE], b"There is nothing here.\n")

    @property
    def is_ready(self) -> bool:
        """Redirects work: Redis has every link, or those of the snapshot are there to go on with.

        Without knowing the custom domains nobody can tell whose link a visitor asks for.
        """
        return self._cache.domains.are_known and (
            self._feed.is_ready or (self._snapshot.is_read and len(self._cache) > 0)
        )

    def read_health(self) -> Health:
        """Sum up this worker and the host's journals."""
        state = self._spool.read_state()
        served, journaled, shipped, landed = state.values[:4]
        accepted = count_accepted(state.values)
        # Accepted is counted at each answer, journaled when a chunk is cut: the larger one is nearer.
        journaled = max(journaled, accepted)
        lost = state.values[Counter.LOST]
        lag_events = max(0, journaled - landed - lost)
        oldest, now_ms = state.oldest_unlanded_ms, time.time_ns() // 1_000_000
        lag_ms = max(0, now_ms - oldest) if oldest else 0
        return Health(
            live=True,
            ready=self.is_ready,
            redis=self._shipper.is_connected,
            links_ready=self._feed.is_ready,
            cached_links=len(self._cache),
            events=Events(served, journaled, shipped, landed, lag_events, lag_ms, lost, accepted - served),
            journal=JournalUse(state.journals, state.used_bytes, self._spool.budget_bytes),
            problems=self._find_problems(state.used_bytes),
            snapshot_age_s=self._snapshot.read_age_s(),
            clock_ms=now_ms,
        )

    def _find_problems(self, used_bytes: int) -> list[str]:
        problems = []
        if not self._shipper.is_connected:
            problems.append(f"{self._shipper.problem}: clicks stay in the journal until it does.")
        if not self._feed.is_ready:
            problems.append("Redis does not have every link: links that are not cached answer 503.")
        if not self._cache.domains.are_known:
            problems.append("Custom domains are not known: every link answers 503.")
        snapshot_age_s = self._snapshot.read_age_s()
        if snapshot_age_s is not None:
            problems.append(
                f"Links come from a snapshot of {snapshot_age_s} s ago: changes since are not known."
            )
        if self._spool.is_full:
            problems.append("Clicks cannot be recorded, the journal has no room: redirects answer 503.")
        if used_bytes > self._spool.budget_bytes * 0.8:
            problems.append(f"The journals take {used_bytes} of {self._spool.budget_bytes} bytes.")
        return problems

    def _render_metrics(self) -> str:
        state = self._spool.read_state()
        lines: list[str] = []
        for counter, (name, meaning) in _METRICS.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} counter", f"{name} {state.values[counter]}"]
        gauges = {
            "switchyard_edge_journal_bytes": ("Bytes that the journals take", state.used_bytes),
            "switchyard_edge_journal_budget_bytes": (
                "Bytes that the journals may take",
                self._spool.budget_bytes,
            ),
            "switchyard_edge_journals": (
                "Journals with events that have not landed, or a living owner",
                state.journals,
            ),
            "switchyard_edge_oldest_unlanded_timestamp_ms": (
                "Time of the oldest event not landed, 0 if none",
                state.oldest_unlanded_ms,
            ),
            "switchyard_edge_cached_links": ("Links in this worker's memory", len(self._cache)),
            "switchyard_edge_links_ready": ("1 when Redis has every link", int(self._feed.is_ready)),
            "switchyard_edge_redis_up": ("1 when Redis takes events", int(self._shipper.is_connected)),
        }
        for name, (meaning, value) in gauges.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name} {value}"]
        return "\n".join(lines) + "\n"
