from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from deploy import doctor

if TYPE_CHECKING:
    from redis.asyncio import Redis

HEALTHY = (
    b"HTTP/1.0 200 OK\r\n\r\n"
    b'{"ready":true,"cached_links":1,"events":{"served":0,"journaled":0,"shipped":0,"landed":0,'
    b'"lag_events":0,"lag_ms":0},"journal":{"used_bytes":0,"budget_bytes":100},"problems":[]}'
)


@pytest.fixture
def edge_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
        return port


async def say_healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEALTHY)
    writer.close()


async def find_wrong(**environment: str) -> dict[str, str]:
    report = await doctor.examine({f"SWITCHYARD_{name}": value for name, value in environment.items()})
    return {check.name: check.says for check in report.checks if not check.ok}


async def test_edge_that_answers_is_well(edge_port: int) -> None:
    async with await asyncio.start_server(say_healthy, "127.0.0.1", edge_port):
        assert "edge" not in await find_wrong(EDGE_URL=f"http://127.0.0.1:{edge_port}")


async def test_one_worker_that_hangs_is_found(edge_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EDGE_ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", edge_port), reuse_port=True):
        async with await asyncio.start_server(say_healthy, "127.0.0.1", edge_port, reuse_port=True):
            wrong = await find_wrong(EDGE_URL=f"http://127.0.0.1:{edge_port}")
    assert "Does a worker hang?" in wrong["edge"]


async def test_full_redis_is_found(redis: Redis, redis_url: str) -> None:
    assert "redis memory" not in await find_wrong(REDIS_URL=redis_url)
    await redis.config_set("maxmemory", 1)
    try:
        assert "Raise maxmemory." in (await find_wrong(REDIS_URL=redis_url))["redis memory"]
    finally:
        await redis.config_set("maxmemory", 0)
