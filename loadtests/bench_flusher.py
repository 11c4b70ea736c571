"""`./switchyard bench flusher`: how fast a backlog in the event stream drains into Postgres.

A Postgres, a Valkey and a flusher of its own; the backlog is there before the flusher starts. The
time is from the flusher's start to the last event's landing, so its imports are in it.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import uuid_utils
from redis.asyncio import Redis
from xxhash import xxh3_64_intdigest

from control_plane.db.migrate import migrate
from deploy.embedded import EmbeddedPostgres, EmbeddedValkey, RunningServer, make_server_folder
from edge.contract import redis_keys
from edge.contract.events import FRAME_HEADER, Chunk, Click, Reason, chunk_fields, encode_event
from loadtests.bench_stack import CHECKOUT, CORES, read_cpu_seconds, start_pinned, stop
from loadtests.environment import read_environment
from loadtests.load_client import USER_AGENT
from loadtests.measurements import FLUSHER, POSTGRES, VALKEY, FlusherResults
from loadtests.report import publish

if TYPE_CHECKING:
    import subprocess

EVENTS_PER_CHUNK: Final = 500
LINKS: Final = 100
USER_AGENTS: Final = 500
TIMEOUT_S: Final = 600.0


def run(*, events: int, report: Path) -> None:
    """Measure, print, and render the report."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as home:
        Path(home).chmod(0o711)
        folder = make_server_folder(Path(home) / "servers")
        postgres = RunningServer(EmbeddedPostgres(folder, secrets.token_hex(16)), folder / "postgres.log")
        valkey = RunningServer(EmbeddedValkey(folder, secrets.token_hex(16)), folder / "valkey.log")
        postgres.start()
        valkey.start()
        try:
            results = asyncio.run(_measure(postgres, valkey, events))
        finally:
            valkey.stop()
            postgres.stop()
    publish("flusher", results, report)


async def _measure(postgres: RunningServer, valkey: RunningServer, events: int) -> FlusherResults:
    await migrate(postgres.url)
    redis: Redis = Redis.from_url(valkey.url)
    sys.stdout.write(f"filling the stream with {events:,} events\n")
    await _fill(redis, events)
    stream_bytes = await redis.memory_usage(redis_keys.events(0), samples=50)
    before = {VALKEY: read_cpu_seconds(valkey.pid), POSTGRES: read_cpu_seconds(postgres.pid)}
    started = time.perf_counter()
    flusher = _start_flusher(postgres.url, valkey.url)
    try:
        await _await_empty(redis)
        seconds = time.perf_counter() - started
        peak_mib = _read_peak_memory_mib(flusher.pid)
        cpu = {
            FLUSHER: read_cpu_seconds(flusher.pid),
            VALKEY: read_cpu_seconds(valkey.pid) - before[VALKEY],
            POSTGRES: read_cpu_seconds(postgres.pid) - before[POSTGRES],
        }
    finally:
        stop(flusher)
    await redis.aclose()
    connection = await asyncpg.connect(postgres.url)
    rows = await connection.fetchval("SELECT count(*) FROM clicks")
    await connection.close()
    return FlusherResults(
        environment=read_environment(),
        command=f"./switchyard bench flusher --events {events}",
        events=events,
        seconds=seconds,
        rows=rows,
        peak_memory_mib=peak_mib,
        stream_mib=(stream_bytes or 0) / 2**20,
        cpu_seconds=cpu,
    )


def _start_flusher(database_url: str, redis_url: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "SWITCHYARD_DATABASE_URL": database_url,
        "SWITCHYARD_REDIS_URL": redis_url,
        "SWITCHYARD_JWT_SECRET": secrets.token_hex(32),
    }
    return start_pinned([str(CHECKOUT / "switchyard"), "flusher"], set(CORES), env=environment)


async def _fill(redis: Redis, events: int) -> None:
    chance = random.Random(7)  # noqa: S311  the same traffic at every call
    links = [(chance.randbytes(16), [chance.randbytes(16), chance.randbytes(16)]) for _ in range(LINKS)]
    journal_id = uuid_utils.uuid7().hex
    pipe = redis.pipeline(transaction=False)
    for sequence, first in enumerate(range(0, events, EVENTS_PER_CHUNK), start=1):
        frames = [_make_frame(chance, links) for _ in range(min(EVENTS_PER_CHUNK, events - first))]
        body = b"".join(frames)
        chunk = Chunk(journal_id, sequence, len(frames), zlib.crc32(body), body)
        pipe.xadd(redis_keys.events(0), chunk_fields(chunk))  # type: ignore[arg-type]  # redis-py's dict is invariant
        if sequence % 50 == 0:
            await pipe.execute()
    await pipe.execute()


def _make_frame(chance: random.Random, links: list[tuple[bytes, list[bytes]]]) -> bytes:
    # Few links get most clicks, as links do.
    link_id, variant_ids = links[min(int(chance.expovariate(0.1)), LINKS - 1)]
    address = (
        f"{chance.randint(1, 223)}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"
    )
    click = Click(
        id=uuid_utils.uuid7().bytes,
        tenant_id=bytes(15) + b"\1",
        link_id=link_id,
        variant_id=chance.choice(variant_ids),
        link_version=1,
        reason=Reason.WEIGHT,
        ip=address,
        country=chance.choice(("US", "BR", "DE", "IN", "")),
        referrer=f"https://news.example/story/{chance.randint(1, 5000)}",
        user_agent=USER_AGENT.replace("142.0", f"{100 + chance.randrange(USER_AGENTS)}.0"),
        query="utm_source=mail&utm_medium=cpc",
    )
    payload = encode_event(click)
    return FRAME_HEADER.pack(len(payload), xxh3_64_intdigest(payload) & 0xFFFF_FFFF) + payload


async def _await_empty(redis: Redis) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while await redis.xlen(redis_keys.events(0)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the stream was not empty after {TIMEOUT_S} s")
        await asyncio.sleep(0.02)


def _read_peak_memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
