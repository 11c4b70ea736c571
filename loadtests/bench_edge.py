"""`./switchyard bench edge`: our edge on both of its servers, a constant 302, and nginx, in turns.

Every round gives each server its turn on the same core, so a machine whose speed drifts changes
all of them alike; what counts are the ratios, as medians over the rounds. Nothing is switched off
for the edge: geo, stickiness, query forwarding, prefetch marks, metrics, journal and shipping to
Redis are on. Only the flusher waits until the timed runs are over, because the load needs the other
core; then every redirect that was served must become a row in Postgres.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from deploy.process import choose_port
from loadtests.bench_stack import (
    CHECKOUT,
    SERVER_CORES,
    apply_load,
    apply_rate,
    load_generator,
    paused,
    pin,
    read_cpu_seconds,
    running_stack,
    start_pinned,
    stop,
)
from loadtests.environment import Environment, read_environment
from loadtests.load_client import LoadResult
from loadtests.report import render_report

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLICATIONS: Final = 20
CONNECTIONS_AT_RATE: Final = 64
LANDING_S: Final = 120.0
RESULTS: Final = Path(__file__).with_name("results")

WIRE, GRANIAN, CONSTANT, NGINX = "edge, wire", "edge, granian", "constant 302, granian", "nginx return 302"
PARTS: Final = ("edge-1", "valkey", "flusher", "postgres")


class EdgeResults(msgspec.Struct, frozen=True):
    """Raw results of one call. `rounds`: a LoadResult for each server, round by round.

    `half_rate`: open loop at half of the top rate. `cost_us`: processor time of each part per
    landed click, in microseconds, at that rate with the flusher at work.
    """

    environment: Environment
    command: str
    connections: int
    load_generator: str
    rounds: list[dict[str, LoadResult]]
    half_rate: LoadResult
    cost_us: dict[str, float]
    publication_ms: list[float]
    redirects_served: int
    clicks_landed: int


def run(*, seconds: int, rounds: int, connections: int, report: Path) -> None:
    """Measure, print, and render the report. Raises RuntimeError when a server does not start."""
    with contextlib.ExitStack() as running:
        ready = json.loads(running.enter_context(running_stack(edge_server="wire")).read_text())
        pin(ready["processes"]["edge-1"], SERVER_CORES)
        slug = urlsplit(ready["demo_link"]).path + "?utm_source=bench&n=1"
        servers = {
            WIRE: ready["edge_url"] + slug,
            GRANIAN: running.enter_context(_granian_edge(ready)) + slug,
            CONSTANT: running.enter_context(_constant_server()),
        }
        if nginx_url := running.enter_context(_nginx()):
            servers[NGINX] = nginx_url
        with paused(ready["processes"]["flusher"]):
            measured = [
                _run_round(number, servers, seconds=seconds, connections=connections)
                for number in range(1, rounds + 1)
            ]
        _await_landed(ready["edge_url"])
        half_rate = median(one[WIRE].per_second for one in measured) / 2
        with paused(ready["processes"]["flusher"]):
            at_half_rate = apply_rate(servers[WIRE], rate=half_rate, seconds=seconds, connections=connections)
        _await_landed(ready["edge_url"])
        cost_us = _measure_cost(ready, servers[WIRE], rate=half_rate, seconds=seconds)
        counted = _await_landed(ready["edge_url"])
        results = EdgeResults(
            environment=read_environment(),
            command=f"./switchyard bench edge --seconds {seconds} --rounds {rounds}"
            f" --connections {connections}",
            connections=connections,
            load_generator=load_generator(),
            rounds=measured,
            half_rate=at_half_rate,
            cost_us=cost_us,
            publication_ms=_measure_publication(ready),
            redirects_served=counted["served"],
            clicks_landed=counted["landed"],
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "edge.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    report.write_text(render_report(RESULTS))
    _say(f"\n{report.read_text()}")


def _run_round(
    number: int, servers: dict[str, str], *, seconds: int, connections: int
) -> dict[str, LoadResult]:
    results = {}
    for name, url in servers.items():
        results[name] = result = apply_load(url, seconds=seconds, connections=connections)
        _say(f"round {number}  {name:<21} {result.per_second:>9,.0f}/s  p99 {result.p99_ms:.2f} ms")
    return results


def _measure_cost(ready: dict[str, Any], url: str, *, rate: float, seconds: float) -> dict[str, float]:
    """Give the processor time of each part per landed click, in microseconds."""
    pids = ready["processes"]
    landed = _await_landed(ready["edge_url"])["landed"]
    before = {part: read_cpu_seconds(pids[part]) for part in PARTS}
    apply_rate(url, rate=rate, seconds=seconds, connections=CONNECTIONS_AT_RATE)
    clicks = _await_landed(ready["edge_url"])["landed"] - landed
    return {part: (read_cpu_seconds(pids[part]) - before[part]) * 1e6 / clicks for part in PARTS}


@contextlib.contextmanager
def _granian_edge(ready: dict[str, Any]) -> Iterator[str]:
    """Run a second edge worker, behind Granian, on the same links; give its URL."""
    port = choose_port()
    with tempfile.TemporaryDirectory(prefix="switchyard-granian-") as home:
        environment = os.environ | {
            "SWITCHYARD_REDIS_URL": ready["redis_url"],
            "SWITCHYARD_EDGE_PORT": str(port),
            "SWITCHYARD_JOURNAL_DIR": f"{home}/journal",
            "SWITCHYARD_EDGE_SERVER": "granian",
        }
        server = start_pinned([str(CHECKOUT / "switchyard"), "edge"], SERVER_CORES, env=environment)
        try:
            _await_answer(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(server)


@contextlib.contextmanager
def _constant_server() -> Iterator[str]:
    port = choose_port()
    server = start_pinned([sys.executable, "-m", "loadtests.constant_server", str(port)], SERVER_CORES)
    try:
        _await_answer(port)
        yield f"http://127.0.0.1:{port}/demo"
    finally:
        stop(server)


@contextlib.contextmanager
def _nginx() -> Iterator[str]:
    """Run nginx where it is installed; else give ""."""
    nginx = shutil.which("nginx")
    if nginx is None:
        yield ""
        return
    port = choose_port()
    with tempfile.TemporaryDirectory(prefix="switchyard-nginx-") as home:
        configuration = Path(home) / "nginx.conf"
        configuration.write_text(
            f"daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port};"
            " return 302 https://example.com/landing; } }\n"
        )
        server = start_pinned([nginx, "-c", str(configuration)], SERVER_CORES, stderr=subprocess.DEVNULL)
        try:
            _await_answer(port)
            yield f"http://127.0.0.1:{port}/demo"
        finally:
            stop(server)


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            _fetch(f"http://127.0.0.1:{port}", "GET", "/demo")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _await_landed(edge_url: str) -> dict[str, int]:
    """Wait until every event is in Postgres; give the edge's own count of both."""
    deadline = time.monotonic() + LANDING_S
    while True:
        _status, _headers, body = _fetch(edge_url, "GET", "/_/health")
        events: dict[str, int] = json.loads(body)["events"]
        if events["served"] == events["landed"] or time.monotonic() > deadline:
            return events
        time.sleep(0.1)


def _measure_publication(ready: dict[str, Any]) -> list[float]:
    """Turn a link's weights round again and again; give how long each change took to reach the edge.

    Milliseconds from the API's answer to the first redirect that obeys it.
    """
    slug = urlsplit(ready["demo_link"]).path
    headers = {"X-API-Key": ready["api_key"], "Content-Type": "application/json"}
    base = "/api/v1/public/links"
    _status, _headers, body = _fetch(ready["api_url"], "GET", base, headers)
    link_id = next(item["id"] for item in json.loads(body)["items"] if item["slug"] == slug[1:])
    _status, _headers, body = _fetch(ready["api_url"], "GET", f"{base}/{link_id}", headers)
    variants = [
        {"label": variant["label"], "destination_url": variant["destination_url"]}
        for variant in json.loads(body)["variants"]
    ]
    delays = []
    for number in range(PUBLICATIONS):
        chosen = variants[number % 2]
        change = {"variants": [{**one, "weight": 100 if one is chosen else 0} for one in variants]}
        status, _headers, body = _fetch(
            ready["api_url"], "PATCH", f"{base}/{link_id}", headers, json.dumps(change)
        )
        if status != 200:  # noqa: PLR2004  OK
            raise RuntimeError(f"PATCH answered {status}: {body.decode()}")
        changed_at = time.perf_counter()
        while not _location(ready["edge_url"], slug).startswith(chosen["destination_url"]):
            if time.perf_counter() - changed_at > LANDING_S:
                raise RuntimeError("a change of weights never reached the edge")
        delays.append((time.perf_counter() - changed_at) * 1000)
    return delays


def _location(edge_url: str, slug: str) -> str:
    _status, headers, _body = _fetch(edge_url, "HEAD", slug)
    return headers.get("location") or ""


def _fetch(
    base_url: str, method: str, target: str, headers: dict[str, str] | None = None, body: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
