"""Renders REPORT.md from the raw results of the benchmarks, and from nothing else."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TITLE = """# Measured

Every figure here comes from the command above its table, run on the machine that is named there;
the raw results are in `loadtests/results/`. Machines differ and are noisy: compare ratios.
"""


def render_report(results: Path) -> str:
    """Render what is there of `edge.json`, `cache.json` and `flusher.json` in the folder `results`."""
    sections = [TITLE]
    for name, render in (
        ("edge", _render_edge),
        ("cache", _render_cache),
        ("flusher", _render_flusher),
        ("locust", _render_locust),
    ):
        path = results / f"{name}.json"
        if path.exists():
            sections.append(render(json.loads(path.read_text())))
    return "\n".join(sections)


def _render_edge(results: dict[str, Any]) -> str:
    rounds: list[dict[str, Any]] = results["rounds"]
    rates = {
        name: median(one[name]["requests"] / one[name]["seconds"] for one in rounds) for name in rounds[0]
    }
    lines = [
        f"## Redirects on one core\n\n{_render_environment(results)}",
        (
            f"Server on one core, load ({results['load_generator']}) and Redis on the rest;"
            f" {results['connections']} connections, closed loop, {len(rounds)} rounds in turns, medians."
            " The flusher waits until the timed runs are over.\n"
        ),
        "| server | requests/s | p50 ms | p99 ms | p99.9 ms | wire / this | granian / this |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rate in rates.items():
        p50, p99, p999 = (median(one[name][key] for one in rounds) for key in ("p50_ms", "p99_ms", "p999_ms"))
        wire, granian = (
            median(_rate(one[edge]) / _rate(one[name]) for one in rounds)
            for edge in ("edge, wire", "edge, granian")
        )
        lines.append(
            f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {p999:.2f} | {wire:.2f} | {granian:.2f} |"
        )
    return "\n".join([*lines, *_render_edge_rest(results)])


def _render_edge_rest(results: dict[str, Any]) -> list[str]:
    half, delays = results["half_rate"], sorted(results["publication_ms"])
    statuses = {status for one in results["rounds"] for status in one["edge, wire"]["statuses"]}
    cost = ", ".join(f"{part} {microseconds:.1f}" for part, microseconds in results["cost_us"].items())
    return [
        "",
        (
            f"Open loop at half of wire's top rate ({_rate(half):,.0f}/s asked by loadtests/load_client.py):"
            f" p50 {half['p50_ms']:.2f} ms, p99 {half['p99_ms']:.2f} ms, p99.9 {half['p999_ms']:.2f} ms.\n"
        ),
        (
            "Processor time per landed click at that rate, all at work, in microseconds:"
            f" {cost}; together {sum(results['cost_us'].values()):.1f}.\n"
        ),
        (
            f"Answers of the edge: {', '.join(sorted(statuses))} only. Redirects that wire served:"
            f" {results['redirects_served']:,}; of them clicks in Postgres: {results['clicks_landed']:,}.\n"
        ),
        (
            f"A change of weights over the API reached the edge after {median(delays):.1f} ms"
            f" (median of {len(delays)}; longest {delays[-1]:.1f} ms).\n"
        ),
    ]


def _rate(result: dict[str, Any]) -> float:
    return float(result["requests"] / result["seconds"])


def _render_cache(results: dict[str, Any]) -> str:
    lines = [
        f"## Links in memory\n\n{_render_environment(results)}",
        (
            f"{results['links']:,} links with two variants, {results['record_bytes']:.0f} bytes each"
            f" in Redis: **{results['cold_bytes']:.0f} bytes of a worker's memory per link**"
            f" ({results['churned_bytes']:.0f} after as many again have pushed them out), and"
            f" {results['compiled_bytes']:,.0f} more for each of the {results['compiled_links']:,}"
            " most popular ones, which are kept compiled.\n"
        ),
        "| links | one link, ns | Zipf mix, ns | compiled | unknown slug, ns | new link when full, ns |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        (
            f"| {size['links']:,} | {size['single_ns']:.0f} | {size['zipf_ns']:.0f}"
            f" | {size['zipf_compiled']:.0%} | {size['unknown_ns']:.0f} | {size['evict_ns']:,.0f} |"
        )
        for size in results["sizes"]
    ]
    return "\n".join([*lines, ""])


def _render_flusher(results: dict[str, Any]) -> str:
    rate = results["events"] / results["seconds"]
    cpu = ", ".join(
        f"{name} {seconds * 1e6 / results['events']:.1f} µs"
        for name, seconds in results["cpu_seconds"].items()
    )
    return "\n".join(
        [
            f"## Backlog into Postgres\n\n{_render_environment(results)}",
            "| events | seconds | events/s | rows | stream MiB | flusher's peak MiB |",
            "|---:|---:|---:|---:|---:|---:|",
            (
                f"| {results['events']:,} | {results['seconds']:.1f} | {rate:,.0f} | {results['rows']:,}"
                f" | {results['stream_mib']:.0f} | {results['peak_memory_mib']:.0f} |"
            ),
            f"\nCPU time per event: {cpu}.\n",
        ]
    )


def _render_locust(results: dict[str, Any]) -> str:
    outcome = results["outcome"]
    requests, seconds, cpu_s = outcome["total"]["requests"], outcome["seconds"], outcome["locust_cpu_s"]
    return "\n".join(
        [
            f"## What Locust itself can do\n\n{_render_environment(results)}",
            (
                f"Locust {results['locust']}, one process on one core, {results['users']} visitors that never"
                " pause, against a constant 302 on the other cores. A run of `./switchyard load` that comes"
                " near this measures Locust; for maxima there is `./switchyard bench edge` with wrk.\n"
            ),
            "| requests | seconds | requests/s | share of its core | requests per CPU second | failures |",
            "|---:|---:|---:|---:|---:|---:|",
            (
                f"| {requests:,} | {seconds:.1f} | {requests / seconds:,.0f} | {cpu_s / seconds:.0%}"
                f" | {requests / cpu_s:,.0f} | {outcome['total']['failures']} |\n"
            ),
        ]
    )


def _render_environment(results: dict[str, Any]) -> str:
    where = results["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    return (
        f"`{results['command']}`\n\n{where['measured_at']}, commit {where['commit']}: {where['processor']},"
        f" {where['cores']} cores, {where['memory_gib']} GiB, Linux {where['kernel']},"
        f" Python {where['python']}, {versions}.\n"
    )
