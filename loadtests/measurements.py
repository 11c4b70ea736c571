"""Raw results as `results/*.json` keeps them, a struct for each file: what the report is rendered from."""

from __future__ import annotations

import msgspec

from loadtests.analytics_fill import Filled
from loadtests.environment import Environment
from loadtests.journeys.plan import Outcome
from loadtests.load_client import LoadResult

WIRE, GRANIAN, CONSTANT = "edge, wire", "edge, granian", "constant 302, granian"
NGINX_LUA, NGINX = "nginx + Lua, same work", "nginx return 302"
WIRE_BARE, NGINX_BARE = "edge, wire, bare request", "nginx return 302, bare request"

EDGE, VALKEY, FLUSHER, POSTGRES = "edge", "valkey", "flusher", "postgres"


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What every result says of itself: where it was measured, and by which command."""

    environment: Environment
    command: str


class ScalePoint(msgspec.Struct, frozen=True):
    """Whole requests with so many links or connections: medians over the rounds."""

    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class WholePath(msgspec.Struct, frozen=True):
    """The edge in closed loop with everything at work, until the last click landed.

    `client_us`: processor time of the load itself per click. `shares_core`: whether all but the edge
    had one core together.
    """

    clicks: int
    seconds: float
    client_us: float
    cpu_us: dict[str, float]
    shares_core: bool


class EdgeResults(Measurement, frozen=True, kw_only=True):
    """`bench edge`. `rounds`: a LoadResult for each server, round by round.

    `at_half_rate`: open loops at `half_rate` requests a second, for the edge and for controls. `cost_us`:
    processor time of each part per landed click, in microseconds, at that rate with the flusher at
    work. `miss_us`: the same for a link that has to be fetched from Redis; empty when none was.
    `request_bytes`, `answer_bytes`: of one redirect, as HTTP.
    """

    connections: int
    load_generator: str
    rounds: list[dict[str, LoadResult]]
    half_rate: float
    at_half_rate: dict[str, LoadResult]
    cost_us: dict[str, float]
    whole_path: WholePath
    by_links: list[ScalePoint]
    by_connections: list[ScalePoint]
    miss_us: dict[str, float]
    request_bytes: int
    answer_bytes: int
    publication_ms: list[float]
    redirects_served: int
    clicks_landed: int


class CacheSize(msgspec.Struct, frozen=True):
    """Costs with so many links. Nanoseconds per call, the fastest of some rounds; a share of look-ups."""

    links: int
    single_ns: float
    zipf_ns: float
    zipf_compiled: float
    unknown_ns: float
    evict_ns: float


class CacheResults(Measurement, frozen=True, kw_only=True):
    """`bench cache`. `*_bytes`: resident memory per link; `record_bytes`: encoded, in Redis."""

    links: int
    record_bytes: float
    cold_bytes: float
    churned_bytes: float
    compiled_bytes: float
    compiled_links: int
    sizes: list[CacheSize]


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """One that was worked off. `cpu_seconds`: of each part, for all of it. `rows`: of all tables together."""

    events: int
    seconds: float
    rows: int
    peak_memory_mib: float
    stream_mib: float
    cpu_seconds: dict[str, float]


class FlusherResults(Measurement, frozen=True, kw_only=True):
    """`bench flusher`: a backlog of clicks. `mixed`: one of every kind of event; None if not measured.

    `cpu_seconds`: of each part, for the whole backlog.
    """

    events: int
    seconds: float
    rows: int
    peak_memory_mib: float
    stream_mib: float
    cpu_seconds: dict[str, float]
    mixed: Backlog | None = None


class VerdictResults(Measurement, frozen=True, kw_only=True):
    """`bench verdicts`.

    `machines`, `browsers`: different user agents of each, of which `recognised` and `mistaken` were taken
    for machines'. `mistaken_traffic`: the share of people's traffic that has a mistaken one.
    `new_text_us`: microseconds for one that is not remembered. `lists`: where they come from, with versions.
    """

    verdict_version: int
    lists: dict[str, str]
    machines: int
    recognised: int
    browsers: int
    mistaken: int
    mistaken_traffic: float
    new_text_us: float


class LocustResults(Measurement, frozen=True, kw_only=True):
    """`load --ceiling`. `locust`: its version."""

    locust: str
    users: int
    outcome: Outcome


class AnalyticsCase(msgspec.Struct, frozen=True):
    """One question about traffic. `rows`, `mib`: what Postgres read for it.

    `nodes`: how it read. `whole_tables`: what it read from end to end.
    """

    question: str
    topic: str
    median_ms: float
    worst_ms: float
    rows: int
    mib: float
    whole_tables: list[str]
    nodes: list[str]


class AnalyticsResults(Measurement, frozen=True, kw_only=True):
    """Questions about traffic. `times`: how often each was asked."""

    filled: Filled
    fill_seconds: float
    times: int
    cases: list[AnalyticsCase]


class WinnerCase(msgspec.Struct, frozen=True):
    """Experiments without a difference: how many of `runs` ended with a winner all the same."""

    rule: str
    weights: str
    sales: int
    runs: int
    false: int


class WinnerPower(msgspec.Struct, frozen=True):
    """Experiments of two halves of which one is better by `lift`. Visitors; `z_test`: looked at once."""

    rate: float
    lift: float
    runs: int
    z_test: float
    mean: float
    median: float
    four_fifths: float


class SplitCase(msgspec.Struct, frozen=True):
    """Splits planned as halves that are `share`: how many of `runs` were caught, after how many visitors."""

    share: float
    runs: int
    caught: int
    most: int
    median: int


class WinnerResults(Measurement, frozen=True, kw_only=True):
    """`bench winners`: simulated experiments."""

    cases: list[WinnerCase]
    powers: list[WinnerPower]
    splits: list[SplitCase]
