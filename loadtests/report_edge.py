"""The section of the report on redirects: rates, latency at half rate, scale, and cost by part."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from loadtests.charts import draw_bars, draw_lines
from loadtests.load_client import REQUEST_HEADERS
from loadtests.measurements import GRANIAN, NGINX, NGINX_LUA, WIRE
from loadtests.report_sections import render_environment

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.measurements import EdgeResults, ScalePoint


def render_edge(results: EdgeResults, plots: Path) -> str:
    """Render everything that `bench edge` measured."""
    return "\n".join(
        [
            f"## Redirects on one core\n\n{render_environment(results)}",
            _render_rates(results, plots),
            "### Latency at half of the top rate\n",
            _render_half_rate(results, plots),
            "### Flat, whatever the number of links and connections\n",
            _render_scale(results, plots),
            "### All-in cost per landed click\n",
            _render_cost(results, plots),
        ]
    )


def _render_rates(results: EdgeResults, plots: Path) -> str:
    rounds = results.rounds
    rates = {name: median(one[name].per_second for one in rounds) for name in rounds[0]}
    bars = {name: {"requests/s": rate} for name, rate in rates.items()}
    (plots / "rates.svg").write_text(draw_bars("Redirects on one core", "/s", bars, own="edge"))
    headers = ", ".join(line.partition(":")[0] for line in REQUEST_HEADERS.strip().split("\r\n"))
    statuses = sorted({status for one in rounds for status in one[WIRE].statuses})
    lines = [
        (
            f"Server on one core, load ({results.load_generator}) and Redis on the rest;"
            f" {results.connections} connections, closed loop, {len(rounds)} rounds in turns, medians."
            f" Requests carry a browser's headers ({headers}; {results.request_bytes} bytes in all), bare"
            " ones only Host. CPU: processor time of the server per request, user and system. The flusher"
            " waits during timed runs; clicks land between them.\n"
        ),
        "| server | requests/s | p50 ms | p99 ms | p99.9 ms | CPU µs | wire/this | by CPU | granian/this |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rate in rates.items():
        p50, p99, p999, cpu = (
            median(getattr(one[name], key) for one in rounds)
            for key in ("p50_ms", "p99_ms", "p999_ms", "cpu_us")
        )
        wire, granian = (
            median(one[edge].per_second / one[name].per_second for one in rounds) for edge in (WIRE, GRANIAN)
        )
        by_cpu = median(one[name].cpu_us / one[WIRE].cpu_us for one in rounds)
        lines.append(
            f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {p999:.2f} | {cpu:.1f}"
            f" | {wire:.2f} | {by_cpu:.2f} | {granian:.2f} |"
        )
    compared = (
        f"“{NGINX_LUA}” is [nginx_lua/redirect.lua](nginx_lua/redirect.lua), which says what it does"
        " and what it leaves out. "
        if NGINX_LUA in rates
        else ""
    )
    return "\n".join(
        [
            *lines,
            "",
            (
                "“wire/this” and “granian/this” compare rates; “by CPU” compares wire with this one by"
                f" processor time alone, which noise moves less. {compared}Answers of the edge:"
                f" {', '.join(statuses)} only. Redirects that wire served in all runs:"
                f" {results.redirects_served:,}; of them clicks in Postgres: {results.clicks_landed:,}.\n"
            ),
            "![Requests per second by server](plots/rates.svg)\n",
        ]
    )


def _render_half_rate(results: EdgeResults, plots: Path) -> str:
    at_rate, delays = results.at_half_rate, sorted(results.publication_ms)
    bars = {f"{name}, {label}": {"ms": getattr(one, key)} for name, one in at_rate.items()
            for label, key in (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"))}  # fmt: skip
    (plots / "half_rate.svg").write_text(
        draw_bars(f"Latency at {results.half_rate:,.0f} requests/s, open loop", "ms", bars, own="edge")
    )
    lines = [
        (
            f"Open loop, {results.half_rate:,.0f} requests/s from loadtests/load_client.py over"
            f" {results.connections} connections. A latency counts from the moment when the request was due."
            f" The client shares its core with Redis, so “{NGINX}” is the control: what it shows, client and"
            " machine add by themselves. “Sent late”: how long after they were due 99 % of the requests were"
            " on their way, which is part of the latency.\n"
        ),
        "| server | p50 ms | p99 ms | p99.9 ms | sent late, p99 ms | answers |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, one in at_rate.items():
        answers = ", ".join(f"{status}: {count:,}" for status, count in one.statuses.items())
        lines.append(
            f"| {name} | {one.p50_ms:.2f} | {one.p99_ms:.2f} | {one.p999_ms:.2f} | {one.sent_late_p99_ms:.2f}"
            f" | {answers} |"
        )
    return "\n".join(
        [
            *lines,
            "\n![Latency at half rate](plots/half_rate.svg)\n",
            (
                f"A change of weights over the API reached the edge after {median(delays):.1f} ms"
                f" (median of {len(delays)}; longest {delays[-1]:.1f} ms).\n"
            ),
        ]
    )


def _render_scale(results: EdgeResults, plots: Path) -> str:
    (plots / "links.svg").write_text(
        _draw_scale("Whole requests by number of links (Zipf mix)", "links", results.by_links)
    )
    (plots / "connections.svg").write_text(
        _draw_scale("Whole requests by number of connections", "connections", results.by_connections)
    )
    missed = " and ".join(f"{part} {microseconds:.1f} µs" for part, microseconds in results.miss_us.items())
    return "\n".join(
        [
            (
                f"Whole requests on wire. Links are visited by Zipf's law over {results.connections}"
                " connections, each of them once before the timed run; connections all visit one link.\n"
            ),
            *_tabulate("links", results.by_links),
            f"\nThe first visit of a link, fetched from Redis, cost {missed} of processor time.\n",
            "![Cost by number of links](plots/links.svg)\n",
            *_tabulate("connections", results.by_connections),
            "\n![Cost by number of connections](plots/connections.svg)\n",
        ]
    )


def _tabulate(what: str, points: list[ScalePoint]) -> list[str]:
    return [
        f"| {what} | requests/s | p50 ms | p99 ms | CPU µs |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {one.count:,} | {one.per_second:,.0f} | {one.p50_ms:.2f} | {one.p99_ms:.2f}"
            f" | {one.cpu_us:.1f} |"
            for one in points
        ),
    ]


def _draw_scale(title: str, what: str, points: list[ScalePoint]) -> str:
    return draw_lines(
        title,
        what,
        [one.count for one in points],
        [
            ("requests/s", {"requests/s": [one.per_second for one in points]}),
            ("ms", {"p50": [one.p50_ms for one in points], "p99": [one.p99_ms for one in points]}),
            ("CPU µs per request", {"CPU": [one.cpu_us for one in points]}),
        ],
    )


def _render_cost(results: EdgeResults, plots: Path) -> str:
    half, whole = results.cost_us, results.whole_path
    runs = {f"at {results.half_rate:,.0f} requests/s": half, "as fast as it goes": whole.cpu_us}
    (plots / "cost.svg").write_text(draw_bars("Processor time per landed click", "µs", runs))
    lines = [
        "Processor time per landed click, in microseconds, with everything at work until it has landed.\n",
        f"| | {' | '.join(half)} | together |",
        f"|---|{'---:|' * (len(half) + 1)}",
    ]
    for name, cost in runs.items():
        parts = " | ".join(f"{microseconds:.1f}" for microseconds in cost.values())
        lines.append(f"| {name} | {parts} | {sum(cost.values()):.1f} |")
    return "\n".join([*lines, "\n![Processor time by part](plots/cost.svg)\n"])
