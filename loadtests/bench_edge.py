"""`./switchyard bench edge`: our edge on both of its servers, nginx with the same work in Lua, and limits.

Every round gives each server its turn on the same core, so a machine whose speed drifts changes
all of them alike; what counts are the ratios, as medians over the rounds. Nothing is switched off
for the edge: geo, stickiness, query forwarding, macros, prefetch marks, metrics, journal and shipping
to Redis are on. Only the flusher waits while a timed run lasts, because the load needs the other
core; after it, every redirect that was served must become a row in Postgres.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from deploy.data_folder import Ready
from loadtests.bench_stack import SERVER_CORES, await_landed, paused, pin, running_stack
from loadtests.edge_cost import measure_cost, measure_whole_path
from loadtests.edge_scale import ScaleRun, measure_by_connections, measure_by_links
from loadtests.environment import read_environment
from loadtests.load_client import REQUEST_HEADERS
from loadtests.load_generators import Target, apply_load, apply_rate, load_generator
from loadtests.managed_link import QUERY, make_link, measure_publication
from loadtests.measurements import (
    CONSTANT,
    GRANIAN,
    NGINX,
    NGINX_BARE,
    NGINX_LUA,
    WIRE,
    WIRE_BARE,
    EdgeResults,
)
from loadtests.reference_servers import (
    running_constant_server,
    running_granian_edge,
    running_nginx,
    running_nginx_lua,
)
from loadtests.report import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtests.load_client import LoadResult

LINK_COUNTS: Final = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
CONNECTION_COUNTS: Final = (1, 10, 64, 100, 300, 1000)
QUICK_LINK_COUNTS: Final = (1, 100)
QUICK_CONNECTION_COUNTS: Final = (1, 64)
SCALE_ROUNDS: Final = 3
"""The most rounds for each number of links and connections: there are many of these."""
PUBLICATIONS: Final = 20


class Plan(msgspec.Struct, frozen=True):
    """How much is measured. `quick`: few links and connections, which shows that all of it works."""

    seconds: int
    rounds: int
    connections: int
    quick: bool

    @property
    def command(self) -> str:
        """Give the command that measures this."""
        quick = " --quick" if self.quick else ""
        return (
            f"./switchyard bench edge --seconds {self.seconds} --rounds {self.rounds}"
            f" --connections {self.connections}{quick}"
        )


def run(plan: Plan, report: Path) -> None:
    """Measure, print, and render the report. Raises RuntimeError when a server does not start."""
    with running_stack(edge_server="wire") as ready_file:
        ready = msgspec.json.decode(ready_file.read_bytes(), type=Ready)
        pin(ready.processes["edge-1"], SERVER_CORES)
        results = _measure(ready, plan)
    publish("edge", results, report)


def _measure(ready: Ready, plan: Plan) -> EdgeResults:
    link = make_link(ready)
    wire = Target(f"{ready.edge_url}/{link['slug']}{QUERY}", ready.processes["edge-1"])
    with _running_servers(ready, link, wire) as servers:
        rounds = [_run_round(number, servers, ready, plan) for number in range(1, plan.rounds + 1)]
        half_rate = median(one[WIRE].per_second for one in rounds) / 2
        at_half_rate = _run_at_rate(servers, ready, plan, half_rate)
    seconds, connections = plan.seconds, plan.connections
    cost_us = measure_cost(ready, wire, rate=half_rate, seconds=seconds, connections=connections)
    whole_path = measure_whole_path(ready, wire, seconds=seconds, connections=connections)
    scale = ScaleRun(seconds, min(plan.rounds, SCALE_ROUNDS), connections, ready.processes["flusher"])
    by_connections = measure_by_connections(
        wire, scale, QUICK_CONNECTION_COUNTS if plan.quick else CONNECTION_COUNTS
    )
    by_links, miss_us = measure_by_links(ready, wire, scale, QUICK_LINK_COUNTS if plan.quick else LINK_COUNTS)
    request_bytes, answer_bytes = _measure_exchange(wire.url)
    publication_ms = measure_publication(ready, link, changes=PUBLICATIONS)
    counted = await_landed(ready.edge_url)
    return EdgeResults(
        environment=read_environment(),
        command=plan.command,
        connections=connections,
        load_generator=load_generator(),
        rounds=rounds,
        half_rate=half_rate,
        at_half_rate=at_half_rate,
        cost_us=cost_us,
        whole_path=whole_path,
        by_links=by_links,
        by_connections=by_connections,
        miss_us=miss_us,
        request_bytes=request_bytes,
        answer_bytes=answer_bytes,
        publication_ms=publication_ms,
        redirects_served=counted["served"],
        clicks_landed=counted["landed"],
    )


@contextlib.contextmanager
def _running_servers(ready: Ready, link: dict[str, Any], wire: Target) -> Iterator[dict[str, Target]]:
    """Run what the edge is compared with; give every server by name, all with the same path."""
    with contextlib.ExitStack() as running:
        found = {
            WIRE: wire,
            GRANIAN: running.enter_context(running_granian_edge(ready.redis_url)),
            NGINX_LUA: running.enter_context(running_nginx_lua(ready.redis_url, link)),
            CONSTANT: running.enter_context(running_constant_server()),
            NGINX: running.enter_context(running_nginx()),
        }
        servers = {
            name: msgspec.structs.replace(one, url=f"http://{urlsplit(one.url).netloc}/{link['slug']}{QUERY}")
            for name, one in found.items()
            if one is not None
        }
        for name, bare in ((WIRE, WIRE_BARE), (NGINX, NGINX_BARE)):
            if name in servers:
                servers[bare] = msgspec.structs.replace(servers[name], is_bare=True)
        yield servers


def _run_round(number: int, servers: dict[str, Target], ready: Ready, plan: Plan) -> dict[str, LoadResult]:
    results = {}
    for name, target in servers.items():
        with paused(ready.processes["flusher"]):
            result = apply_load(target, seconds=plan.seconds, connections=plan.connections)
        results[name] = result
        _say(
            f"round {number}  {name:<30} {result.per_second:>9,.0f}/s  p99 {result.p99_ms:6.2f} ms"
            f"  {result.cpu_us:5.1f} µs"
        )
        _settle(name, target)
    return results


def _run_at_rate(servers: dict[str, Target], ready: Ready, plan: Plan, rate: float) -> dict[str, LoadResult]:
    """Measure latencies at a fixed rate: of the edge, and of servers that show what the client adds."""
    results = {}
    for name in (WIRE, NGINX_LUA, NGINX):
        if name in servers:
            with paused(ready.processes["flusher"]):
                results[name] = result = apply_rate(
                    servers[name], rate=rate, seconds=plan.seconds, connections=plan.connections
                )
            _say(f"{rate:,.0f}/s  {name:<30} p99 {result.p99_ms:.2f} ms, p99.9 {result.p999_ms:.2f} ms")
            _settle(name, servers[name])
    return results


def _settle(name: str, target: Target) -> None:
    """Let an edge's clicks land, so that its next turn finds room in Redis to ship to."""
    if name in (WIRE, WIRE_BARE, GRANIAN):
        await_landed(f"http://{urlsplit(target.url).netloc}")


def _measure_exchange(url: str) -> tuple[int, int]:
    """Give the bytes of a request and of its answer, as the load makes them."""
    parts = urlsplit(url)
    request = (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n{REQUEST_HEADERS}\r\n".encode()
    )
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := connection.recv(65_536)):
            answer += data
    return len(request), len(answer)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
