"""The commands that measure: `./switchyard bench …` and `./switchyard load`.

deploy/cli.py adds them to the command line. Each imports what it needs when it runs, because what it
needs is large and partly installed for development alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

MAX_TIMED_RUN_S = 10
"""At 40,000 clicks a second, some 100 MB of the 128 MB that SWITCHYARD_SHIP_WINDOW_MB allows."""

_REPORT = Path(__file__).with_name("REPORT.md")

bench = typer.Typer(no_args_is_help=True, help="Measure how fast it is on this machine.")

ReportFile = Annotated[
    Path,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Markdown to write; raw results and plots go beside it.",
        show_default="loadtests/REPORT.md",
        resolve_path=True,
    ),
]


@bench.command("edge")
def bench_edge(
    *,
    seconds: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_TIMED_RUN_S,
            help="Length of one timed run; a longer one would fill the window of what may be in Redis.",
        ),
    ] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; in each, every server takes its turn.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="Connections that stay open.")] = 64,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few links and connections: shows that all of it works.")
    ] = False,
    report: ReportFile = _REPORT,
) -> None:
    """Measure the edge against Granian, and against nginx and nginx with Lua where installed.

    Prints requests per second, processor time per request, p50, p99 and p99.9, and the ratios;
    latencies at half of the top rate; the cost with up to 1,000,000 links and 1,000 connections; the
    cost per click of every part; and how long a change of a link takes to reach the edge. Runs a
    stack of its own, for ten minutes or more.

    For example:

        ./switchyard bench edge --seconds 4 --rounds 5

        ./switchyard bench edge --quick --seconds 1 --rounds 1 --report /tmp/bench/REPORT.md
    """
    from loadtests.bench_edge import Plan, run

    run(Plan(seconds, rounds, connections, quick), report)


@bench.command("cache")
def bench_cache(
    *,
    links: Annotated[int, typer.Option(min=1, help="Links in memory.")] = 1_000_000,
    report: ReportFile = _REPORT,
) -> None:
    """Measure what a link takes of an edge worker's memory, and what it costs to find one.

    For example:

        ./switchyard bench cache --links 100000
    """
    from loadtests.bench_cache import run

    run(links=links, report=report)


@bench.command("flusher")
def bench_flusher(
    *,
    events: Annotated[int, typer.Option(min=1000, help="Events in the stream.")] = 1_000_000,
    report: ReportFile = _REPORT,
) -> None:
    """Measure how fast a flusher works off a backlog, and how much memory it takes for it.

    For example:

        ./switchyard bench flusher --events 200000
    """
    from loadtests.bench_flusher import run

    run(events=events, report=report)


@bench.command("verdicts")
def bench_verdicts(*, report: ReportFile = _REPORT) -> None:
    """Measure how many machines are recognised, and how many people are taken for machines.

    For example:

        ./switchyard bench verdicts
    """
    from loadtests.bench_verdicts import run

    run(report=report)


@bench.command("analytics")
def bench_analytics(
    *,
    events: Annotated[
        int, typer.Option(min=1000, help="Clicks, visits, checkouts and sales, all together.")
    ] = 10_000_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="20,000 events: shows that all of it works.")
    ] = False,
    report: ReportFile = _REPORT,
) -> None:
    """Measure how long questions about traffic take, and what Postgres reads for them.

    Compares the sums with the rows, and fails when an answer differs, or when a large table is read from
    end to end. Takes about half an hour and 20 GB of disk; a tenth of the events, a tenth of both.

    For example:

        ./switchyard bench analytics --events 1000000
    """
    from loadtests.bench_analytics import run

    run(events=20_000 if quick else events, report=report)


@bench.command("logins")
def bench_logins(
    *,
    rate: Annotated[int, typer.Option(min=1, help="Wrong sign-ins a second.")] = 200,
    redirects: Annotated[int, typer.Option(min=1, help="Visitors a second.")] = 1000,
    seconds: Annotated[int, typer.Option(min=1, max=60, help="Length of a round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds without and with the attack.")] = 3,
) -> None:
    """Measure what an attack on sign-in costs the visitors: rounds without and with it, in turns.

    For example:

        ./switchyard bench logins --rate 400
    """
    from loadtests.bench_logins import run

    run(rate=rate, redirects=redirects, seconds=seconds, rounds=rounds)


@bench.command("winners")
def bench_winners(
    *,
    runs: Annotated[int, typer.Option(min=20, help="Experiments of each kind.")] = 2000,
    report: ReportFile = _REPORT,
) -> None:
    """Simulate experiments: false winners of the rule, and how soon it finds a true one.

    Starts no server. Seeded: the same options give the same figures.

    For example:

        ./switchyard bench winners --runs 200
    """
    from loadtests.bench_winners import run

    run(runs=runs, report=report)


@bench.command("model")
def bench_model(  # noqa: PLR0913  its options are arguments
    *,
    edges: Annotated[int, typer.Option(min=1, help="Edge workers, each with a core.")] = 8,
    shards: Annotated[int, typer.Option(min=1, help="Redis shards.")] = 3,
    flushers: Annotated[int, typer.Option(min=1, help="Flushers.")] = 4,
    postgres_cores: Annotated[int, typer.Option(min=1, help="Cores of Postgres.")] = 4,
    misses: Annotated[
        float, typer.Option(min=0, max=1, help="Share of redirects whose link is fetched from Redis.")
    ] = 0.01,
    report: ReportFile = _REPORT,
) -> None:
    """Say what a site carries and which part gives out first, from what was measured before.

    Measures nothing; needs the results of `bench edge` and `bench flusher`, and renders the report
    from them again.

    For example:

        ./switchyard bench model --edges 32 --shards 3 --flushers 12 --postgres-cores 8
    """
    from loadtests.capacity_model import Site
    from loadtests.report import run_model

    site = Site(edges=edges, shards=shards, flushers=flushers, postgres_cores=postgres_cores, misses=misses)
    run_model(site, report)


def load(  # noqa: PLR0913  the options of the command
    *,
    scenario: Annotated[str, typer.Option(help="visitors, marketers, or both.")] = "both",
    users: Annotated[int, typer.Option(min=1, help="Users at work at the same time.")] = 50,
    seconds: Annotated[int, typer.Option(min=1, help="How long they are at work.")] = 30,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="FOLDER",
            help="Use the stack that runs on this folder.",
            show_default="a stack of its own",
            resolve_path=True,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Locust's report.", resolve_path=True)
    ] = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Failed requests that are allowed.")] = 0,
    p99_ms: Annotated[
        float | None, typer.Option("--p99-ms", min=0, help="Longest p99 of redirects that is allowed.")
    ] = None,
    api_p99_ms: Annotated[
        float | None, typer.Option("--api-p99-ms", min=0, help="Longest p99 of the API that is allowed.")
    ] = None,
    min_rps: Annotated[
        float | None, typer.Option(min=0, help="Requests per second that must be reached, all together.")
    ] = None,
    ceiling: Annotated[
        bool,
        typer.Option("--ceiling", help="Measure Locust itself instead, against a server that does nothing."),
    ] = False,
) -> None:
    """Let Locust's users work on a stack, and judge the run by limits.

    Visitors follow links, marketers manage them over the API. In the end the clicks that landed
    are compared with the redirects that were received, link by link. Exit code 1, and a sentence
    for each, when limits were missed.

    For example:

        ./switchyard load --users 50 --seconds 30 --p99-ms 50 --min-rps 200 --html report.html

        ./switchyard load --scenario visitors --data-dir /srv/switchyard
    """
    from loadtests.journeys import ceiling as locust_ceiling
    from loadtests.journeys.limits import Limits
    from loadtests.journeys.run import read_scenario, run

    if ceiling:
        locust_ceiling.run(users=users, seconds=seconds, report=_REPORT)
        return
    limits = Limits(max_failures=max_failures, p99_ms=p99_ms, api_p99_ms=api_p99_ms, min_rps=min_rps)
    kept = run(
        read_scenario(scenario), users=users, seconds=seconds, limits=limits, data_dir=data_dir, html=html
    )
    sys.exit(0 if kept else 1)
