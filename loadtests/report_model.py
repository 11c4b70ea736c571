"""The section of the report on more than one machine: what the model of capacity says."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from loadtests.capacity_model import (
    EDGE_GBIT_S,
    MISSES,
    SHARD_GBIT_S,
    Costs,
    Resource,
    Site,
    find_bottleneck,
    lay_out,
    lay_out_bench,
    read_costs,
)
from loadtests.measurements import WIRE

if TYPE_CHECKING:
    from loadtests.measurements import EdgeResults, FlusherResults

SITES: Final = (
    Site(edges=1, shards=1, flushers=1, postgres_cores=1),
    Site(edges=2, shards=1, flushers=1, postgres_cores=2),
    Site(edges=4, shards=1, flushers=2, postgres_cores=2),
    Site(edges=8, shards=3, flushers=4, postgres_cores=4),
    Site(edges=16, shards=3, flushers=6, postgres_cores=8),
    Site(edges=32, shards=3, flushers=12, postgres_cores=8),
    Site(edges=64, shards=6, flushers=24, postgres_cores=16),
)


def render_model(edge: EdgeResults, flusher: FlusherResults) -> str:
    """Render the costs that the model goes by, what it says of some sites, and how true it is here."""
    costs = read_costs(edge, flusher)
    return "\n".join(
        [
            "## More than one machine\n",
            (
                "What so many edges, Redis shards, flushers and cores of Postgres carry together,"
                " from the costs measured above, the flusher's and Postgres' brought by the plain loop"
                " to the speed that the machine had for the edge:"
                " [capacity_model.py](capacity_model.py) has the formulas, and `./switchyard bench"
                " model --edges 8 --shards 3 --flushers 4 --postgres-cores 4` answers for any other"
                " site. Each edge is a worker with a core of its own. The columns on the right say how"
                " busy each part is when the first one gives out; plan for 0.7 of it.\n"
            ),
            *_tabulate_sites(costs),
            "",
            _render_assumptions(costs),
            "### The model against this machine\n",
            _render_validation(edge, costs),
        ]
    )


def render_site(site: Site, costs: Costs) -> str:
    """Say what one site carries, in two sentences."""
    resources = lay_out(site, costs)
    least = find_bottleneck(resources)
    busy = ", ".join(f"{one.name} {_busy(one, least)}" for one in resources)
    return f"{least.clicks_per_s:,.0f} clicks/s, then {least.name} give out. At that rate: {busy}."


def _tabulate_sites(costs: Costs) -> list[str]:
    names = [resource.name for resource in lay_out(SITES[0], costs)]
    lines = [
        f"| edges | shards | flushers | Postgres cores | clicks/s | gives out first | {' | '.join(names)} |",
        f"|---:|---:|---:|---:|---:|---|{'---:|' * len(names)}",
    ]
    for site in SITES:
        resources = lay_out(site, costs)
        least = find_bottleneck(resources)
        busy = " | ".join(_busy(resource, least) for resource in resources)
        lines.append(
            f"| {site.edges} | {site.shards} | {site.flushers} | {site.postgres_cores}"
            f" | {least.clicks_per_s:,.0f} | {least.name} | {busy} |"
        )
    return lines


def _busy(resource: Resource, least: Resource) -> str:
    return f"{least.clicks_per_s / resource.clicks_per_s:.0%}"


def _render_assumptions(costs: Costs) -> str:
    return (
        f"A click takes {costs.edge_us:.1f} µs of an edge, {costs.valkey_us:.1f} µs of a shard,"
        f" {costs.flusher_us:.1f} µs of a flusher (wall time from a backlog, waiting for Postgres included)"
        f" and {costs.postgres_us:.1f} µs of Postgres; {MISSES:.0%} of the links are fetched from Redis, at"
        f" {costs.edge_miss_us:.1f} µs of the edge and {costs.valkey_miss_us:.1f} µs of the shard;"
        f" {costs.request_bytes:.0f} bytes come in, {costs.answer_bytes:.0f} go out, and an event is"
        f" {costs.event_bytes:.0f} bytes in its chunk. An edge has {EDGE_GBIT_S:g} Gbit/s, a shard"
        f" {SHARD_GBIT_S:g} Gbit/s. Not in the model: Postgres' disk, the balancer in front, changes of links"
        " (one GET per edge each), and whoever reads reports meanwhile.\n"
    )


def _render_validation(edge: EdgeResults, costs: Costs) -> str:
    whole = edge.whole_path
    alone = median(one[WIRE].per_second for one in edge.rounds)
    lines = [
        "| measured here | model, clicks/s | measured, clicks/s | measured / model |",
        "|---|---:|---:|---:|",
        _compare("the edge alone on its core", 1e6 / costs.edge_us, alone),
    ]
    if whole.shares_core:
        least = find_bottleneck(lay_out_bench(costs, whole.client_us))
        lines.append(
            _compare(
                "the whole path on two cores, load on the second one too",
                least.clicks_per_s,
                whole.clicks / whole.seconds,
            )
        )
        lines.append(
            f"\nOn the second core a click takes {whole.client_us:.1f} µs of the load, {costs.valkey_us:.1f}"
            f" of Valkey, {costs.flusher_cpu_us:.1f} of the flusher and {costs.postgres_us:.1f} of Postgres:"
            f" {least.name} gives out first. Measured: {whole.clicks:,} clicks in {whole.seconds:.1f} s, from"
            " the first request until the last click had landed.\n"
        )
    return "\n".join(lines)


def _compare(what: str, predicted: float, measured: float) -> str:
    return f"| {what} | {predicted:,.0f} | {measured:,.0f} | {measured / predicted:.2f} |"
