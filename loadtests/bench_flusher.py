"""`./switchyard bench flusher`: how fast a backlog in the event stream drains into Postgres.

Once of clicks alone, once of every kind of event, where visits and sales name clicks, and refunds sales.
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
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
import msgspec
import uuid_utils
from redis.asyncio import Redis
from xxhash import xxh3_64_intdigest

from control_plane.db.migrate import migrate
from deploy.embedded import EmbeddedPostgres, EmbeddedValkey, RunningServer, make_server_folder
from edge.contract import redis_keys
from edge.contract.events import (
    FRAME_HEADER,
    Chunk,
    Click,
    Conversion,
    ConversionKind,
    Reason,
    Visit,
    chunk_fields,
    encode_event,
)
from loadtests.bench_stack import CHECKOUT, CORES, read_cpu_seconds, start_pinned, stop
from loadtests.environment import read_environment
from loadtests.load_client import USER_AGENT
from loadtests.measurements import FLUSHER, POSTGRES, VALKEY, Backlog, FlusherResults
from loadtests.report import publish

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from edge.contract.events import Event

EVENTS_PER_CHUNK: Final = 500
LINKS: Final = 100
USER_AGENTS: Final = 500
BETWEEN: Final = 2000
"""Clicks between one and what comes of it, at most."""
TIMEOUT_S: Final = 600.0
WARM_UP: Final = 20_000
TENANT: Final = UUID(int=1)
PROJECT: Final = UUID(int=2)

_MAKE_PROJECT: Final = """
WITH tenant AS (
    INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'bench', 'free', now()) RETURNING id
)
INSERT INTO projects (tenant_id, id, name, created_at, updated_at)
SELECT id, CAST($2 AS uuid), 'bench', now(), now() FROM tenant
"""
_COUNT_ROWS: Final = """
SELECT (SELECT count(*) FROM clicks) + (SELECT count(*) FROM visits) + (SELECT count(*) FROM conversions)
"""


def run(*, events: int, report: Path) -> None:
    """Measure a backlog of clicks and one of every kind, print, and render the report."""
    clicks, mixed = (_work_off(events, make) for make in (_make_click, _make_any))
    results = FlusherResults(
        environment=read_environment(),
        command=f"./switchyard bench flusher --events {events}",
        mixed=mixed,
        **msgspec.structs.asdict(clicks),
    )
    publish("flusher", results, report)


def _work_off(events: int, make: Callable[[Traffic], Event]) -> Backlog:
    """Fill servers of its own with a backlog, and measure how it drains."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as home:
        Path(home).chmod(0o711)
        folder = make_server_folder(Path(home) / "servers")
        postgres = RunningServer(EmbeddedPostgres(folder, secrets.token_hex(16)), folder / "postgres.log")
        valkey = RunningServer(EmbeddedValkey(folder, secrets.token_hex(16)), folder / "valkey.log")
        postgres.start()
        valkey.start()
        try:
            return asyncio.run(_measure(postgres, valkey, events, make))
        finally:
            valkey.stop()
            postgres.stop()


async def _measure(
    postgres: RunningServer, valkey: RunningServer, events: int, make: Callable[[Traffic], Event]
) -> Backlog:
    await migrate(postgres.url)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(_MAKE_PROJECT, TENANT, PROJECT)
    redis: Redis = Redis.from_url(valkey.url)
    traffic = Traffic()
    await _warm_up(postgres, valkey, redis, traffic, make)
    rows_before = await connection.fetchval(_COUNT_ROWS)
    sys.stdout.write(f"filling the stream with {events:,} events\n")
    await _fill(redis, traffic, events, make)
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
    rows = await connection.fetchval(_COUNT_ROWS)
    await connection.close()
    return Backlog(
        events=events,
        seconds=seconds,
        rows=rows - rows_before,
        peak_memory_mib=peak_mib,
        stream_mib=(stream_bytes or 0) / 2**20,
        cpu_seconds=cpu,
    )


async def _warm_up(
    postgres: RunningServer,
    valkey: RunningServer,
    redis: Redis,
    traffic: Traffic,
    make: Callable[[Traffic], Event],
) -> None:
    """Land some events, and let Postgres look at its tables, as it does by itself after a minute."""
    await _fill(redis, traffic, WARM_UP, make)
    flusher = _start_flusher(postgres.url, valkey.url)
    try:
        await _await_empty(redis)
    finally:
        stop(flusher)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _start_flusher(database_url: str, redis_url: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "SWITCHYARD_DATABASE_URL": database_url,
        "SWITCHYARD_REDIS_URL": redis_url,
        "SWITCHYARD_JWT_SECRET": secrets.token_hex(32),
    }
    return start_pinned([str(CHECKOUT / "switchyard"), "flusher"], set(CORES), env=environment)


class Traffic:
    """What events are made of: the same in every run."""

    def __init__(self) -> None:
        self.chance = chance = random.Random(7)  # noqa: S311  the same traffic at every call
        self.links = [
            (chance.randbytes(16), [chance.randbytes(16), chance.randbytes(16)]) for _ in range(LINKS)
        ]
        self.clicks: deque[str] = deque(maxlen=BETWEEN)
        self.sales: deque[str] = deque(maxlen=BETWEEN)
        """Ids of the latest ones, of which visits, sales and refunds come."""


async def _fill(redis: Redis, traffic: Traffic, events: int, make: Callable[[Traffic], Event]) -> None:
    journal_id = uuid_utils.uuid7().hex
    pipe = redis.pipeline(transaction=False)
    for sequence, first in enumerate(range(0, events, EVENTS_PER_CHUNK), start=1):
        frames = [_make_frame(make(traffic)) for _ in range(min(EVENTS_PER_CHUNK, events - first))]
        body = b"".join(frames)
        chunk = Chunk(journal_id, sequence, len(frames), zlib.crc32(body), body)
        pipe.xadd(redis_keys.events(0), chunk_fields(chunk))  # type: ignore[arg-type]  # redis-py's dict is invariant
        if sequence % 50 == 0:
            await pipe.execute()
    await pipe.execute()


def _make_frame(event: Event) -> bytes:
    payload = encode_event(event)
    return FRAME_HEADER.pack(len(payload), xxh3_64_intdigest(payload) & 0xFFFF_FFFF) + payload


def _make_any(traffic: Traffic) -> Event:
    """Make a click in 80 of 100 cases, a visit in 15, a sale in 4 and a refund in one."""
    drawn = traffic.chance.random()
    if drawn < 0.8 or not traffic.clicks:  # noqa: PLR2004  what the docstring says
        click = _make_click(traffic, project_id=PROJECT.bytes)
        traffic.clicks.append(str(UUID(bytes=click.id)))
        return click
    if drawn < 0.95:  # noqa: PLR2004
        return _make_visit(traffic)
    is_sale = drawn < 0.99 or not traffic.sales  # noqa: PLR2004
    return _make_conversion(traffic, ConversionKind.SALE if is_sale else ConversionKind.REFUND)


def _make_click(traffic: Traffic, project_id: bytes = b"") -> Click:
    # Few links get most clicks, as links do.
    chance = traffic.chance
    link_id, variant_ids = traffic.links[min(int(chance.expovariate(0.1)), LINKS - 1)]
    return Click(
        id=uuid_utils.uuid7().bytes,
        tenant_id=TENANT.bytes,
        link_id=link_id,
        variant_id=chance.choice(variant_ids),
        link_version=1,
        reason=Reason.WEIGHT,
        ip=_draw_address(chance),
        country=chance.choice(("US", "BR", "DE", "IN", "")),
        referrer=f"https://news.example/story/{chance.randint(1, 5000)}",
        user_agent=_draw_user_agent(chance),
        query="utm_source=mail&utm_medium=cpc",
        project_id=project_id,
    )


def _make_visit(traffic: Traffic) -> Visit:
    chance = traffic.chance
    return Visit(
        id=uuid_utils.uuid7().bytes,
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        click_id=chance.choice(traffic.clicks),
        client_id="",
        landing_url=f"https://shop.example/item/{chance.randint(1, 500)}?utm_source=mail&utm_medium=cpc",
        referrer="https://go.example/",
        ip=_draw_address(chance),
        country=chance.choice(("US", "BR", "DE", "IN", "")),
        user_agent=_draw_user_agent(chance),
    )


def _make_conversion(traffic: Traffic, kind: ConversionKind) -> Conversion:
    event_id, chance = uuid_utils.uuid7(), traffic.chance
    is_sale = kind == ConversionKind.SALE
    if is_sale:
        traffic.sales.append(str(event_id))
    return Conversion(
        id=event_id.bytes,
        tenant_id=TENANT.bytes,
        project_id=PROJECT.bytes,
        kind=int(kind),
        external_id=str(event_id),
        status="completed",
        amount_minor=chance.randint(500, 5000) if is_sale else 100,
        commission_minor=0,
        currency="USD",
        source="postback",
        click_id=chance.choice(traffic.clicks) if is_sale else "",
        sale_id="" if is_sale else chance.choice(traffic.sales),
    )


def _draw_address(chance: random.Random) -> str:
    first, last = chance.randint(1, 223), chance.randint(1, 254)
    return f"{first}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{last}"


def _draw_user_agent(chance: random.Random) -> str:
    return USER_AGENT.replace("142.0", f"{100 + chance.randrange(USER_AGENTS)}.0")


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
