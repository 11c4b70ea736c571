"""Reports over HTTP, through both servers, from Redis into the event stream."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from edge.contract.events import Conversion, Visit, decode_event, read_chunk, split_frames
from edge.contract.redis_keys import events
from tests.edge.directories import PROJECT, make_project, publish_project
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.intake.intakes import PROJECT_ID
from tests.edge.processes import EdgeProcesses
from tests.edge.servers.raw_client import RawClient
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

VISIT = json.dumps({"project": PROJECT_ID, "url": "https://shop.example/"}).encode()
HEAD = b"POST /_/visit HTTP/1.1\r\nHost: edge\r\nContent-Type: text/plain\r\n"


@pytest.fixture(params=["wire", "rsgi"])
async def edge(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, redis: Redis
) -> AsyncIterator[EdgeProcesses]:
    await publish(redis, make_link())
    await publish_project(redis, make_project(secret_hash=hashlib.sha256(b"secret").digest()))
    await declare_ready(redis)
    processes = EdgeProcesses(tmp_path, redis_url, server=request.param, journal_sync="always")
    processes.start()
    await processes.ready()
    yield processes
    assert "Traceback" not in processes.log()
    processes.kill()


def ask(edge: EdgeProcesses, *parts: bytes, then_end: bool = False) -> tuple[int, bytes]:
    """Send the parts of one request, each by itself; status 0 when it is not answered."""
    with RawClient(("127.0.0.1", edge.port)) as client:
        client.send(*parts)
        if then_end:
            client.end()
        answer = client.answer()
        while answer is not None and answer.status == 100:
            answer = client.answer()
        return (answer.status, answer.body) if answer is not None else (0, b"")


async def test_reports_reach_the_stream(edge: EdgeProcesses, redis: Redis) -> None:
    length = b"Content-Length: %d\r\n" % len(VISIT)
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    cut = VISIT[:9], VISIT[9:]
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in cut]
    for parts in (
        [HEAD + length + b"\r\n" + VISIT],
        [HEAD + length + b"\r\n", *cut],
        [chunked, *chunks, b"0\r\n\r\n"],
        [HEAD + length + b"Expect: 100-continue\r\n\r\n", VISIT],
    ):
        status, body = await asyncio.to_thread(ask, edge, *parts)
        assert (status, list(json.loads(body))) == (200, ["visit_id"])
    query = f"project={PROJECT_ID}&token=secret&txid=t1&amount=5"
    assert (await asyncio.to_thread(edge.get, f"/_/postback?{query}"))[0] == 200
    assert (await asyncio.to_thread(edge.get, "/summer"))[0] == 302

    async def shipped() -> list[type]:
        return [
            type(decode_event(payload))
            for _entry_id, fields in await redis.xrange(events(0)) or ()
            for payload in split_frames(read_chunk(fields).body)  # type: ignore[arg-type]  # redis-py's union
        ]

    async def all_are_shipped() -> bool:
        return len(await shipped()) == 6

    await eventually(all_are_shipped)
    found = await shipped()
    assert (found.count(Visit), found.count(Conversion)) == (4, 1)
    health = await asyncio.to_thread(edge.health)
    assert health is not None
    assert (health.events.served, health.events.taken, health.events.journaled) == (1, 5, 6)
    assert health.events.lag_events == 6


async def test_bodies_that_are_cut_short_or_too_large_count_for_nothing(edge: EdgeProcesses) -> None:
    large = HEAD + b"Content-Length: 65537\r\n\r\n"
    assert (await asyncio.to_thread(ask, edge, large))[0] == 413
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert (await asyncio.to_thread(ask, edge, chunked + b"10001\r\n" + bytes(65_537)))[0] == 413
    short = HEAD + b"Content-Length: %d\r\n\r\n" % (len(VISIT) + 1) + VISIT
    assert (await asyncio.to_thread(ask, edge, short, then_end=True))[0] in (0, 400)
    half = chunked + b"%x\r\n%s\r\n" % (9, VISIT[:9])
    assert (await asyncio.to_thread(ask, edge, half, then_end=True))[0] in (0, 400, 411)
    fits = VISIT + b" " * (65_536 - len(VISIT))
    assert (await asyncio.to_thread(ask, edge, HEAD + b"Content-Length: 65536\r\n\r\n" + fits))[0] == 200
    health = await asyncio.to_thread(edge.health)
    assert health is not None
    assert health.events.taken == 1


async def test_a_paused_project_takes_nothing_within_moments(edge: EdgeProcesses, redis: Redis) -> None:
    message = HEAD + b"Content-Length: %d\r\n\r\n" % len(VISIT) + VISIT
    assert (await asyncio.to_thread(ask, edge, message))[0] == 200
    await publish_project(redis, make_project(project_id=PROJECT, version=2, is_active=False))

    async def is_refused() -> bool:
        return (await asyncio.to_thread(ask, edge, message))[0] == 403

    await eventually(is_refused)
