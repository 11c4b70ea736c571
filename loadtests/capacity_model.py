"""What N edges, M Redis shards and K flushers carry together, and which part gives out first.

Every part is a resource that has so much to give each second and that a click takes so much of:

    clicks per second of a resource  =  units x what a unit gives per second / what a click takes
    clicks per second of a site      =  the least of its resources: the bottleneck

    edges             N x 1e6 us      edge_us + misses x edge_miss_us
    Redis shards      M x 1e6 us      valkey_us + misses x valkey_miss_us
    flushers          K x 1e6 us      flusher_us, which is wall time: a flusher waits for Postgres too
    Postgres          cores x 1e6 us  postgres_us
    edges' network    N x its bits    the wider direction: request in, or answer and event out
    shards' network   M x its bits    an event, in and out again

Costs are measured (`bench edge`, `bench flusher`), on one machine and one core per process. The model
takes them for constant: they fall a little as chunks grow. Load is spread evenly, as a balancer
spreads visitors over edges and journals spread over shards. Not in it: Postgres' disk, the balancer,
changes of links (each is one GET per edge), and reports that read while clicks are written.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from loadtests.measurements import EDGE, FLUSHER, POSTGRES, VALKEY, WIRE

if TYPE_CHECKING:
    from loadtests.measurements import EdgeResults, FlusherResults

MISSES: Final = 0.01
"""Share of redirects whose link the edge has to fetch from Redis."""
EDGE_GBIT_S: Final = 1.0
SHARD_GBIT_S: Final = 10.0
"""Network of an edge worker and of a shard, each way."""
PACKET_BYTES: Final = 78
"""Ethernet, IP and TCP around the one packet that a request or an answer takes."""
MICROSECONDS: Final = 1e6


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a click takes: microseconds of a core (`flusher_us`: of wall time), and bytes on the wire."""

    edge_us: float
    edge_miss_us: float
    valkey_us: float
    valkey_miss_us: float
    flusher_us: float
    flusher_cpu_us: float
    postgres_us: float
    request_bytes: float
    answer_bytes: float
    event_bytes: float


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is of each part. `edges`: workers, each with a core of its own."""

    edges: int
    shards: int
    flushers: int
    postgres_cores: int
    misses: float = MISSES

    def __post_init__(self) -> None:
        """Refuse a site without one of its parts."""
        for name in ("edges", "shards", "flushers", "postgres_cores"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: must be 1 or more")
        if not 0 <= self.misses <= 1:
            raise ValueError(f"misses {self.misses}: must be from 0 to 1")


class Resource(msgspec.Struct, frozen=True):
    """One part. `supply`: what it gives per second; `demand`: what a click takes of it, in the same unit."""

    name: str
    supply: float
    demand: float

    @property
    def clicks_per_s(self) -> float:
        """Give how many clicks per second it carries."""
        return self.supply / self.demand if self.demand else float("inf")


def read_costs(edge: EdgeResults, flusher: FlusherResults) -> Costs:
    """Take the costs from what was measured: the edge's at its top rate, the pipeline's from a backlog.

    Machines differ from hour to hour: the backlog's are brought to the speed at which the edge was measured,
    by how long a plain loop took.
    """
    events = flusher.events * flusher.environment.python_loop_ns / edge.environment.python_loop_ns
    return Costs(
        edge_us=median(one[WIRE].cpu_us for one in edge.rounds),
        edge_miss_us=edge.miss_us.get(EDGE, 0.0),
        valkey_us=edge.cost_us[VALKEY],
        valkey_miss_us=edge.miss_us.get(VALKEY, 0.0),
        flusher_us=flusher.seconds * MICROSECONDS / events,
        flusher_cpu_us=flusher.cpu_seconds[FLUSHER] * MICROSECONDS / events,
        postgres_us=flusher.cpu_seconds[POSTGRES] * MICROSECONDS / events,
        request_bytes=edge.request_bytes,
        answer_bytes=edge.answer_bytes,
        event_bytes=flusher.stream_mib * 2**20 / flusher.events,
    )


def lay_out(site: Site, costs: Costs) -> list[Resource]:
    """Give the resources of a site whose parts share nothing."""
    inwards = costs.request_bytes + PACKET_BYTES
    outwards = costs.answer_bytes + PACKET_BYTES + costs.event_bytes
    return [
        Resource("edges", site.edges * MICROSECONDS, costs.edge_us + site.misses * costs.edge_miss_us),
        Resource("Redis", site.shards * MICROSECONDS, costs.valkey_us + site.misses * costs.valkey_miss_us),
        Resource("flushers", site.flushers * MICROSECONDS, costs.flusher_us),
        Resource("Postgres", site.postgres_cores * MICROSECONDS, costs.postgres_us),
        Resource("edges' network", _bytes_per_s(site.edges * EDGE_GBIT_S), max(inwards, outwards)),
        Resource("shards' network", _bytes_per_s(site.shards * SHARD_GBIT_S), costs.event_bytes),
    ]


def lay_out_bench(costs: Costs, client_us: float) -> list[Resource]:
    """Give the resources of `bench edge` on two cores: the edge has one, all else shares the other."""
    rest = client_us + costs.valkey_us + costs.flusher_cpu_us + costs.postgres_us
    return [
        Resource("the edge's core", MICROSECONDS, costs.edge_us),
        Resource("the other core", MICROSECONDS, rest),
    ]


def find_bottleneck(resources: list[Resource]) -> Resource:
    """Give the part that gives out first."""
    return min(resources, key=lambda resource: resource.clicks_per_s)


def _bytes_per_s(gbit_s: float) -> float:
    return gbit_s * 1e9 / 8
