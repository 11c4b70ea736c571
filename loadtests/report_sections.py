"""Sections of the report: links in memory, backlog into Postgres, Locust's ceiling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadtests.charts import draw_lines

if TYPE_CHECKING:
    from pathlib import Path

    from loadtests.measurements import (
        AnalyticsResults,
        Backlog,
        CacheResults,
        FlusherResults,
        LocustResults,
        Measurement,
        VerdictResults,
        WinnerResults,
    )


def render_cache(results: CacheResults, plots: Path) -> str:
    """Render what links take of a worker's memory."""
    sizes = results.sizes
    chart = draw_lines(
        "A look-up in the link cache",
        "links in memory",
        [size.links for size in sizes],
        [
            (
                "nanoseconds",
                {
                    "one link": [size.single_ns for size in sizes],
                    "Zipf mix": [size.zipf_ns for size in sizes],
                    "unknown slug": [size.unknown_ns for size in sizes],
                },
            )
        ],
    )
    (plots / "cache.svg").write_text(chart)
    lines = [
        f"## Links in memory\n\n{render_environment(results)}",
        (
            f"{results.links:,} links with two variants, {results.record_bytes:.0f} bytes each"
            f" in Redis: **{results.cold_bytes:.0f} bytes of a worker's memory per link**"
            f" ({results.churned_bytes:.0f} after as many again have pushed them out), and"
            f" {results.compiled_bytes:,.0f} more for each of the {results.compiled_links:,}"
            " most popular ones, which are kept compiled.\n"
        ),
        "| links | one link, ns | Zipf mix, ns | compiled | unknown slug, ns | new link when full, ns |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        (
            f"| {size.links:,} | {size.single_ns:.0f} | {size.zipf_ns:.0f}"
            f" | {size.zipf_compiled:.0%} | {size.unknown_ns:.0f} | {size.evict_ns:,.0f} |"
        )
        for size in sizes
    ]
    return "\n".join([*lines, "", "![Nanoseconds per look-up by number of links](plots/cache.svg)\n"])


def render_flusher(results: FlusherResults, _plots: Path) -> str:
    """Render how fast a backlog drains."""
    backlogs: dict[str, FlusherResults | Backlog] = {"clicks": results}
    if results.mixed is not None:
        backlogs["80 % clicks, 15 % visits, 4 % sales, 1 % refunds"] = results.mixed
    return "\n".join(
        [
            f"## Backlog into Postgres\n\n{render_environment(results)}",
            "| of | events | seconds | events/s | rows | stream MiB | flusher's peak MiB | CPU per event |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
            *(_render_backlog(name, backlog) for name, backlog in backlogs.items()),
            "",
        ]
    )


def _render_backlog(name: str, backlog: FlusherResults | Backlog) -> str:
    rate = backlog.events / backlog.seconds
    cpu = ", ".join(
        f"{part} {seconds * 1e6 / backlog.events:.1f} µs" for part, seconds in backlog.cpu_seconds.items()
    )
    return (
        f"| {name} | {backlog.events:,} | {backlog.seconds:.1f} | {rate:,.0f} | {backlog.rows:,}"
        f" | {backlog.stream_mib:.0f} | {backlog.peak_memory_mib:.0f} | {cpu} |"
    )


def render_analytics(results: AnalyticsResults, _plots: Path) -> str:
    """Render how long questions about traffic take."""
    filled = results.filled
    events = filled.clicks + filled.visits + filled.conversions
    topics = list(dict.fromkeys(case.topic for case in results.cases))
    cases = {(case.question, case.topic): case for case in results.cases}
    lines = [
        f"## Questions about traffic\n\n{render_environment(results)}",
        (
            f"{events:,} events of 90 days in {filled.gib:.1f} GiB: {filled.clicks:,} clicks,"
            f" {filled.visits:,} visits, {filled.conversions:,} checkouts and sales; their sums are"
            f" {filled.slot_sums:,} quarters of an hour, {filled.day_sums:,} days of values and"
            f" {filled.money_sums:,} of money. Milliseconds of the whole question, the median of"
            f" {results.times} (the slowest); below, rows that Postgres read for it.\n"
        ),
        f"| question | {' | '.join(topics)} |",
        f"|---|{'---:|' * len(topics)}",
    ]
    for question in dict.fromkeys(case.question for case in results.cases):
        asked = [cases.get((question, topic)) for topic in topics]
        shown = [
            f"{case.median_ms:.1f} ({case.worst_ms:.1f})<br>{case.rows:,} rows" if case else ""
            for case in asked
        ]
        lines.append(f"| {question} | {' | '.join(shown)} |")
    whole = sorted({table for case in results.cases for table in case.whole_tables})
    ways = sorted({re.sub(r"_\d{6}|_default", "", node) for case in results.cases for node in case.nodes})
    lines += [
        f"\nRead from end to end: {', '.join(whole) or 'nothing'}. Ways to the rows: {'; '.join(ways)}.\n"
    ]
    return "\n".join(lines)


def render_verdicts(results: VerdictResults, _plots: Path) -> str:
    """Render how well machines are told from people."""
    lists = ", ".join(f"{name} {number}" for name, number in results.lists.items())
    return "\n".join(
        [
            f"## Machines and people\n\n{render_environment(results)}",
            (
                f"By user agent alone, verdict version {results.verdict_version}, on {lists}. Verdicts are"
                " passed by the same list of crawlers: machines that are not on it, and pretend to be"
                " browsers, are found by address, prefetch and rate alone, which no public list can test.\n"
            ),
            "| | user agents | taken for machines | share |",
            "|---|---:|---:|---:|",
            (
                f"| machines | {results.machines:,} | {results.recognised:,}"
                f" | {results.recognised / results.machines:.2%} (recall) |"
            ),
            (
                f"| real browsers | {results.browsers:,} | {results.mistaken:,}"
                f" | {results.mistaken / results.browsers:.2%} (false positives;"
                f" {results.mistaken_traffic:.2%} of their traffic) |"
            ),
            f"\nA user agent that is not remembered takes {results.new_text_us:.0f} µs.\n",
        ]
    )


def render_locust(results: LocustResults, _plots: Path) -> str:
    """Render what Locust itself can do."""
    outcome = results.outcome
    requests, seconds, cpu_s = outcome.total.requests, outcome.seconds, outcome.locust_cpu_s
    return "\n".join(
        [
            f"## What Locust itself can do\n\n{render_environment(results)}",
            (
                f"Locust {results.locust}, one process on one core, {results.users} visitors that never"
                " pause, against a constant 302 on the other cores. A run of `./switchyard load` that comes"
                " near this measures Locust; for maxima there is `./switchyard bench edge` with wrk.\n"
            ),
            "| requests | seconds | requests/s | share of its core | requests per CPU second | failures |",
            "|---:|---:|---:|---:|---:|---:|",
            (
                f"| {requests:,} | {seconds:.1f} | {requests / seconds:,.0f} | {cpu_s / seconds:.0%}"
                f" | {requests / cpu_s:,.0f} | {outcome.total.failures} |\n"
            ),
        ]
    )


def render_winners(results: WinnerResults, _plots: Path) -> str:
    """Render what the rule of the winner promises, as simulated."""
    lines = [
        f"## A winner that the data supports\n\n{render_environment(results)}",
        (
            "Experiments whose variants are all the same, looked at after every sale (the z-test: after every"
            " 200 visitors, 50 times). At most 5 % may end with a winner.\n"
        ),
        "| rule | weights | sales each | experiments | false winners |",
        "|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {case.rule} | {case.weights} | {case.sales:,} | {case.runs:,} | {case.false / case.runs:.1%} |"
        for case in results.cases
    ]
    lines += [
        (
            "\nExperiments of two halves with a difference: visitors until the winner is declared, beside"
            " what a z-test at the same 5 % needs for a power of 80 % if it is looked at exactly once.\n"
        ),
        "| rate | lift | z-test, once | mean | ratio | median | ratio | 80 % of experiments | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results.powers:
        cells = " | ".join(
            f"{visitors:,.0f} | {visitors / one.z_test:.2f}"
            for visitors in (one.mean, one.median, one.four_fifths)
        )
        lines.append(f"| {one.rate:.0%} | {one.lift:.0%} | {one.z_test:,.0f} | {cells} |")
    lines += [
        "\nSplits planned as halves: how many are called skewed, looked at after every 1,000 visitors.\n",
        "| true share | splits | called skewed | within visitors | median |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.share:.1%} | {one.runs:,} | {one.caught / one.runs:.1%} | {one.most:,} | "
        + (f"{one.median:,} |" if one.caught > one.runs / 2 else "never |")
        for one in results.splits
    ]
    return "\n".join([*lines, ""])


def render_environment(results: Measurement) -> str:
    """Say how and where a section was measured."""
    where = results.environment
    versions = ", ".join(f"{name} {number}" for name, number in where.versions.items())
    return (
        f"`{results.command}`\n\n{where.measured_at}, commit {where.commit}: {where.processor},"
        f" {where.cores} cores, {where.memory_gib} GiB, Linux {where.kernel},"
        f" Python {where.python} ({where.python_loop_ns:.0f} ns a turn of a plain loop), {versions}.\n"
    )
