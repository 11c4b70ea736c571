from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter as Tally
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.pipeline import flusher
from control_plane.settings import Settings as ControlPlaneSettings
from edge.contract.events import Click, decode_event, read_chunk, split_frames
from edge.contract.link_record import Stickiness
from edge.contract.redis_keys import events
from edge.counters import Counter, Counters
from edge.journal import Journal
from edge.status import Events
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.processes import Client, EdgeProcesses
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg
    from redis.asyncio import Redis

    from tests.conftest import TestServer

CLOSE = b"Host: edge\r\nConnection: close\r\n"


@pytest.fixture
async def edge(tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[EdgeProcesses]:
    """Processes that are not started yet; Redis has the link `summer`."""
    await publish(redis, make_link())
    await declare_ready(redis)
    processes = EdgeProcesses(tmp_path, redis_url)
    yield processes
    processes.kill()


@pytest.fixture
async def worker(edge: EdgeProcesses) -> EdgeProcesses:
    edge.start()
    await edge.ready()
    return edge


@contextlib.asynccontextmanager
async def run_flusher(database_url: str, redis_url: str) -> AsyncIterator[None]:
    settings = ControlPlaneSettings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)
    stop = asyncio.Event()
    running = asyncio.create_task(flusher.run(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def shipped_clicks(redis: Redis, count: int) -> list[Click]:
    async def clicks() -> list[Click]:
        entries = await redis.xrange(events(0))
        return [
            event
            for _entry_id, fields in entries or ()
            for payload in split_frames(read_chunk(fields).body)  # type: ignore[arg-type]  # redis-py's union
            if isinstance(event := decode_event(payload), Click)
        ]

    async def enough() -> bool:
        return len(await clicks()) >= count

    await eventually(enough)
    return await clicks()


class TestRedirects:
    async def test_end_to_end(self, worker: EdgeProcesses, redis: Redis) -> None:
        status, headers, body = worker.get(
            "/summer?a=1", headers={"User-Agent": "Firefox", "Referer": "https://news.example/"}
        )
        assert (status, headers["cache-control"], body) == (302, "no-store", b"")
        assert headers["location"] in ("https://v1.example/?a=1", "https://v2.example/?a=1")
        (click,) = await shipped_clicks(redis, 1)
        assert (click.ip, click.user_agent, click.referrer, click.query) == (
            "127.0.0.1",
            "Firefox",
            "https://news.example/",
            "a=1",
        )

    async def test_head_is_answered_without_body_and_not_counted(
        self, worker: EdgeProcesses, redis: Redis
    ) -> None:
        assert worker.get("/summer", "HEAD")[0] == 302
        assert worker.get("/nothing", "HEAD")[0] == 404
        worker.get("/summer?last")
        (click,) = await shipped_clicks(redis, 1)
        assert click.query == "last"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/summer/", 302),
            ("/s%75mmer", 302),
            ("/%73%75%6d%6d%65%72%2F", 302),
            ("/s%2575mmer", 404),
            ("/summer%00", 404),
            ("/%ff%fe", 404),
            ("/%", 404),
            ("/%zz", 404),
            ("//summer", 404),
            ("/summer/x", 404),
            ("/", 404),
            ("/nothing", 404),
        ],
    )
    async def test_forms_of_a_path(self, worker: EdgeProcesses, path: str, status: int) -> None:
        assert worker.get(path)[0] == status

    async def test_methods_that_no_link_answers(self, worker: EdgeProcesses) -> None:
        for method in ("POST", "DELETE", "OPTIONS", "BREW", "G" * 200):
            status, headers, _body = worker.get("/summer", method)
            assert (status, headers["allow"]) == (405, "GET, HEAD")

    async def test_a_change_is_seen_within_a_second(self, worker: EdgeProcesses, redis: Redis) -> None:
        assert worker.get("/summer")[0] == 302
        await publish(redis, make_link(version=2, winner=1))
        await eventually(
            lambda: {worker.get("/summer")[1]["location"] for _ in range(8)} == {"https://v2.example/"},
            timeout_s=1,
        )

    async def test_links_go_on_while_redis_is_away(
        self, worker: EdgeProcesses, valkey_server: TestServer
    ) -> None:
        assert worker.get("/summer")[0] == 302
        valkey_server.kill()
        assert [worker.get("/summer")[0] for _ in range(20)] == [302] * 20
        assert worker.get("/winter")[0] == 503
        await eventually(lambda: (health := worker.health()) and not health.redis)
        assert worker.get("/_/health")[0] == 200  # redirects work
        health = worker.health()
        assert health is not None
        assert len(health.problems) == 2
        assert (health.events.served, health.events.landed) == (21, 0)

    async def test_waiting_for_the_disk(self, tmp_path: Path, edge: EdgeProcesses, redis_url: str) -> None:
        assert edge
        processes = EdgeProcesses(tmp_path, redis_url, journal_sync="always")
        processes.start()
        await processes.ready()
        with Client(processes, "a") as first, Client(processes, "b") as second:
            await eventually(lambda: len(first.received) > 20 and len(second.received) > 20)
        processes.kill()
        (folder,) = processes.journals.glob("*")
        journal = Journal.adopt(folder)
        assert journal is not None
        kept = sum(cut.events for cut in journal.unshipped)
        assert kept >= len(first.received) + len(second.received)


class TestBadRequests:
    RAW = (
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET\r\n\r\n",
        b"GET /summer\r\n\r\n",
        b"GET /summer HTTP/9.9\r\n" + CLOSE + b"\r\n",
        b"GET summer HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET * HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"CONNECT edge:443 HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"G\x00T /summer HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /s\xffmmer?\xff HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /caf\xc3\xa9?\xc3\xa9 HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /summer?" + b"&" * 60_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /summer HTTP/1.1\r\n" + CLOSE + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /summer HTTP/1.1\r\n" + CLOSE + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET /summer HTTP/1.1\r\n" + CLOSE + b" folded: line\r\n\r\n",
        b"GET /summer HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"POST /summer HTTP/1.1\r\n" + CLOSE + b"Content-Length: 99999999999999999999\r\n\r\n",
        b"POST /summer HTTP/1.1\r\n" + CLOSE + b"Content-Length: -1\r\n\r\n",
        b"POST /summer HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /summer HTTP/1.1\r\n"
        + CLOSE
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /summer HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /summer HTTP/1.1\r\nHost: edge\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        b"GET /summer HTTP/1.1\r\nHost:",
    )

    async def test_they_kill_nobody(self, worker: EdgeProcesses) -> None:
        for raw in self.RAW:
            answer = worker.send(raw, then_end=True)
            assert answer == b"" or answer.startswith(b"HTTP/1."), raw[:60]
            assert b" 500 " not in answer.partition(b"\r\n")[0], raw[:60]
        assert worker.workers[0].poll() is None
        assert worker.get("/summer")[0] == 302
        assert "Traceback" not in worker.log()

    async def test_header_bytes_that_are_no_text_do_not_stop_a_redirect(
        self, worker: EdgeProcesses, redis: Redis
    ) -> None:
        for name in (b"Referer", b"User-Agent", b"Cookie", b"X-Forwarded-For", b"Sec-Purpose"):
            answer = worker.send(b"GET /summer HTTP/1.1\r\n" + CLOSE + name + b": a\xff\xe9b\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 302 "), name
        assert len(await shipped_clicks(redis, 5)) == 5

    async def test_pipelined_requests_are_answered_in_order(self, worker: EdgeProcesses) -> None:
        """Also when some need a look-up in Redis and others do not."""
        requests = b"".join(
            b"GET /%s?n=%d HTTP/1.1\r\nHost: edge\r\n\r\n"
            % (b"summer" if number % 3 else b"unknown-%d" % number, number)
            for number in range(60)
        )
        last = b"GET /summer?n=60 HTTP/1.1\r\n" + CLOSE + b"\r\n"
        answer = await asyncio.to_thread(worker.send, requests + last)
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [302 if number % 3 else 404 for number in range(60)] + [302]
        numbers = [int(part.split(b"\r\n")[0]) for part in answer.split(b"?n=")[1:]]
        assert numbers == [number for number in range(60) if number % 3] + [60]


class TestStatus:
    async def test_health_before_and_after_links_are_ready(self, edge: EdgeProcesses, redis: Redis) -> None:
        await redis.flushdb()
        edge.start()
        await eventually(lambda: edge.get("/_/health/live")[0] == 200, timeout_s=20)
        assert edge.get("/_/health/ready")[0] == 503
        status, headers, body = edge.get("/_/health")
        assert (status, headers["content-type"]) == (503, "application/json")
        assert json.loads(body)["ready"] is False
        assert edge.get("/summer")[0] == 503
        await publish(redis, make_link())
        await declare_ready(redis)
        await edge.ready()
        assert edge.get("/summer")[0] == 302
        health = edge.health()
        assert health is not None
        assert health.live
        assert health.ready
        assert health.links_ready
        assert (health.cached_links, health.journal.journals) == (1, 1)
        assert edge.get("/_/nothing")[0] == 404

    async def test_served_journaled_shipped_and_landed_agree_in_the_end(
        self, worker: EdgeProcesses, pool: asyncpg.Pool, database_url: str, redis_url: str
    ) -> None:
        for number in range(25):
            worker.get(f"/summer?{number}")
        assert worker.lag_events() == 25
        in_the_end = Events(served=25, journaled=25, shipped=25, landed=25, lag_events=0, lag_ms=0)
        async with run_flusher(database_url, redis_url):
            await eventually(lambda: (health := worker.health()) and health.events == in_the_end)
        assert await pool.fetchval("SELECT count(*) FROM clicks") == 25

    async def test_metrics_are_valid_prometheus_text(self, worker: EdgeProcesses) -> None:
        worker.get("/summer")
        worker.get("/nothing")
        status, headers, body = worker.get("/_/metrics")
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        families = {family.name: family for family in text_string_to_metric_families(body.decode())}
        values = {name: family.samples[0].value for name, family in families.items()}
        assert values["switchyard_edge_redirects"] == 1
        assert values["switchyard_edge_unknown_links"] == 1
        assert values["switchyard_edge_links_ready"] == 1
        assert all(family.documentation for family in families.values())
        assert len(families) == len(Counter) + 7


class TestWorkers:
    async def test_two_share_a_port_and_a_folder(self, edge: EdgeProcesses, redis: Redis) -> None:
        edge.start()
        edge.start()
        await edge.ready(workers=2)

        def both_have_served() -> bool:
            edge.get("/summer")
            pages = [Counters(path) for path in edge.journals.glob("*/counters")]
            return len(pages) == 2 and all(page.values[Counter.SERVED] for page in pages)

        await eventually(both_have_served)
        await publish(redis, make_link(version=2, winner=1, stickiness=Stickiness.COOKIE))
        await eventually(
            lambda: {edge.get("/summer")[1]["location"] for _ in range(20)} == {"https://v2.example/"},
            timeout_s=1,
        )
        health = edge.health()
        assert health is not None
        assert health.journal.journals == 2
        served = health.events.served
        assert await edge.terminate() == [0, 0]
        clicks = await shipped_clicks(redis, served)
        assert len({click.id for click in clicks}) == served  # a chunk may come twice, a click may not

    async def test_sigterm_answers_what_is_in_flight_and_retires_what_has_landed(
        self, worker: EdgeProcesses, pool: asyncpg.Pool, database_url: str, redis_url: str
    ) -> None:
        async with run_flusher(database_url, redis_url):
            clients = [Client(worker, f"c{number}") for number in range(8)]
            with contextlib.ExitStack() as running:
                for client in clients:
                    running.enter_context(client)
                await eventually(lambda: sum(len(client.received) for client in clients) > 500)
                assert await worker.terminate() == [0]
        received = [name for client in clients for name in client.received]
        assert not [status for client in clients for status in client.refused]
        rows = [row["query"] for row in await pool.fetch("SELECT query FROM clicks")]
        assert sorted(rows) == sorted(f"r={name}" for name in received)
        assert [path.name for path in worker.journals.iterdir() if path.is_dir()] == []
        assert "Traceback" not in worker.log()

    async def test_sigterm_keeps_what_has_not_landed(self, worker: EdgeProcesses) -> None:
        for number in range(10):
            worker.get(f"/summer?{number}")
        assert await worker.terminate() == [0]
        (folder,) = (path for path in worker.journals.iterdir() if path.is_dir())
        journal = Journal.adopt(folder)
        assert journal is not None
        assert sum(cut.events for cut in journal.unshipped) == 10

    async def test_a_worker_that_cannot_start_leaves_no_journal(self, tmp_path: Path, redis_url: str) -> None:
        for wrong in ({"trusted_proxies": "x"}, {"geo_database": "/nowhere"}, {"redis_url": "x://"}):
            processes = EdgeProcesses(tmp_path, **({"redis_url": redis_url} | wrong))
            assert await asyncio.to_thread(processes.start().wait, 30) == 1
            assert list(processes.journals.glob("*/counters")) == []

    async def test_killed_again_and_again_under_load_every_redirect_has_one_row(
        self, edge: EdgeProcesses, pool: asyncpg.Pool, database_url: str, redis_url: str
    ) -> None:
        kills, threads = 6, 6
        edge.start()
        edge.start()
        await edge.ready(workers=2)
        clients = [Client(edge, f"c{number}") for number in range(threads)]
        async with run_flusher(database_url, redis_url):
            with contextlib.ExitStack() as running:
                for client in clients:
                    running.enter_context(client)
                for round_ in range(kills):
                    before = sum(len(client.received) for client in clients)
                    await eventually(
                        lambda before=before: sum(len(c.received) for c in clients) > before + 500,  # type: ignore[misc]  # bound at once
                        timeout_s=30,
                    )
                    edge.workers[round_].kill()
                    edge.start()
            received = [f"r={name}" for client in clients for name in client.received]

            await eventually(lambda: edge.lag_events() == 0, timeout_s=30)
        rows = Tally(row["query"] for row in await pool.fetch("SELECT query FROM clicks"))
        assert len(received) > kills * 500
        assert [name for name in received if rows[name] != 1] == []
        assert [name for name, count in rows.items() if count != 1] == []
        assert rows.total() - len(received) <= sum(client.broken for client in clients)
        assert await pool.fetchval("SELECT sum(clicks) FROM click_totals") == rows.total()
        health = edge.health()
        assert health is not None
        assert health.events.journaled == health.events.shipped == health.events.landed == rows.total()
