"""`doctor`: looks at every part of a stack and says in sentences what is wrong with it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
from redis.exceptions import AuthenticationError, ResponseError

from control_plane.core.redis_client import open_redis
from control_plane.db.migrate import MIGRATIONS, read_migrations
from control_plane.pipeline.publisher import is_redis_complete
from deploy.doctor_queues import examine_messages, examine_outbox
from deploy.http_probe import fetch
from deploy.process_states import find_faults
from deploy.servers import OLDEST_POSTGRES, OLDEST_REDIS, read_postgres, read_redis
from edge.contract import redis_keys
from edge.contract.partitions import read_partitions
from edge.contract.redis_shards import REDIS_FAULTS
from edge.contract.redis_url import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.data_folder import Ready
    from deploy.servers import RedisFacts
    from edge.contract.redis_shards import RedisShards

LONG_LAG_MS: Final = 10_000
"""Clicks land within a second when all is well."""
LONG_OFFSET_S: Final = 10.0
LONG_ANSWER_MS: Final = 100
"""Redis answers in less than one; the edge gives it up after a thousand."""
MUCH_USED: Final = 0.8
"""Part of a limit past which it is time to act."""
LITTLE_SPACE: Final = 2 * 2**30
"""Bytes; below that, a journal that has to grow may fill the disk."""

EDGE_PROBES: Final = 16
"""Connections to the edge; of two workers, one that hangs is missed once in 65,536 times."""
EDGE_ANSWER_S: Final = 3.0

_PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+) *(;.*)?", re.MULTILINE)
_LOCK: Final = Path(__file__).resolve().parents[1] / "requirements" / "run.txt"


class Check(msgspec.Struct, frozen=True):
    """One thing looked at. `says`: what was found, or a sentence about what is wrong."""

    name: str
    ok: bool
    says: str


class Report(msgspec.Struct, frozen=True):
    """All checks; `ok` when every one is."""

    ok: bool
    checks: list[Check]


class _Events(msgspec.Struct):
    served: int
    journaled: int
    shipped: int
    landed: int
    lag_events: int
    lag_ms: int
    lost: int


class _Journal(msgspec.Struct):
    used_bytes: int
    budget_bytes: int


class _EdgeHealth(msgspec.Struct):
    """What doctor reads of the answer of /_/health."""

    ready: bool
    cached_links: int
    events: _Events
    journal: _Journal
    problems: list[str]
    clock_ms: int


async def examine(environment: Mapping[str, str], stack: Ready | None = None) -> Report:
    """Look at the stack that the SWITCHYARD_* variables describe. `stack`: what `up` runs here."""
    database_url = environment.get("SWITCHYARD_DATABASE_URL", "")
    redis_url = environment.get("SWITCHYARD_REDIS_URL", "")
    found = await asyncio.gather(
        _check_postgres(database_url),
        _check_redis(redis_url),
        _check_api(environment.get("SWITCHYARD_API_URL", "http://127.0.0.1:8000")),
        _check_edge(environment.get("SWITCHYARD_EDGE_URL", "http://127.0.0.1:8080")),
    )
    journal_dir = Path(environment.get("SWITCHYARD_JOURNAL_DIR", "var/journal"))
    checks = [_check_python(), _check_libraries(), *(check for part in found for check in part)]
    checks.append(_check_space(journal_dir))
    if stack is not None:
        faults = find_faults(stack)
        says = " ".join(faults) or f"{len(stack.processes)} run under `up`"
        checks.append(Check("processes", not faults, says))
    return Report(all(check.ok for check in checks), checks)


def render(report: Report, *, as_json: bool) -> None:
    """Print a report as a table, or as JSON."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "What", "What it says")
    for check in report.checks:
        mark = "[green]ok[/]" if check.ok else "[red]wrong[/]"
        table.add_row(mark, check.name, escape(check.says))
    console = Console()
    console.print(table)
    wrong = sum(not check.ok for check in report.checks)
    console.print(
        "All is well." if report.ok else f"{wrong} of {len(report.checks)} checks found something wrong."
    )


def _check_python() -> Check:
    version = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, version if ok else f"Python {version} is too old; 3.11 is needed.")


def _check_libraries() -> Check:
    """Compare what is installed with the lock."""
    wrong = []
    pins = [(name, version) for name, version, marker in _PIN.findall(_LOCK.read_text()) if not marker]
    for name, version in pins:
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != version:
            wrong.append(f"{name} is {installed}, the lock says {version}")
    if wrong:
        return Check("libraries", False, "; ".join(wrong) + ". Delete .venv and start ./switchyard again.")
    return Check("libraries", True, f"{len(pins)} as locked")


async def _check_postgres(url: str) -> list[Check]:
    if not url:
        return [
            Check(
                "postgres", False, "SWITCHYARD_DATABASE_URL is not set, and no stack runs on the data folder."
            )
        ]
    try:
        facts = await read_postgres(url)
        db = await asyncpg.connect(url, timeout=5)
    except asyncpg.PostgresError as error:
        return [Check("postgres", False, f"Postgres at {without_password(url)} turns us away: {error}")]
    except (OSError, TimeoutError, asyncpg.InterfaceError, ValueError) as error:
        said = str(error) or "no answer in time"
        return [Check("postgres", False, f"Postgres at {without_password(url)} does not answer: {said}")]
    try:
        new_enough = facts.major >= OLDEST_POSTGRES
        says = f"{facts.version} at {without_password(url)}"
        version = Check(
            "postgres", new_enough, says if new_enough else f"{says}; {OLDEST_POSTGRES} is needed."
        )
        schema = await _check_schema(db)
        if not schema.ok:
            return [version, schema]
        outbox, messages = await examine_outbox(db), await examine_messages(db)
        return [version, schema, Check("outbox", *outbox), Check("messages", *messages)]
    finally:
        await db.close()


async def _check_schema(db: asyncpg.Connection[asyncpg.Record]) -> Check:
    known = [migration.name for migration in read_migrations(MIGRATIONS)]
    try:
        rows = await db.fetch("SELECT name FROM schema_migrations ORDER BY version")
    except asyncpg.UndefinedTableError:
        rows = []
    applied = [row["name"] for row in rows]
    if missing := [name for name in known if name not in applied]:
        return Check("schema", False, f"Not applied yet: {', '.join(missing)}. Run ./switchyard migrate.")
    if strange := [name for name in applied if name not in known]:
        return Check("schema", False, f"Of a newer version: {', '.join(strange)}. Run a newer Switchyard.")
    return Check("schema", True, known[-1])


async def _check_redis(url: str) -> list[Check]:
    if not url:
        return [
            Check("redis", False, "SWITCHYARD_REDIS_URL is not set, and no stack runs on the data folder.")
        ]
    try:
        facts = await read_redis(url)
        async with open_redis(url, timeout_s=5.0) as redis:
            oldest = min(facts, key=lambda one: one.major)
            says = f"{oldest.product} {oldest.version} at {without_password(url)}"
            if redis.is_cluster:
                says += f", {len(facts)} masters"
            checks = [Check("redis", oldest.major >= OLDEST_REDIS, says)]
            policies = {one.memory_policy for one in facts}
            evicts = not policies <= {"noeviction", "unknown"}
            policy = ", ".join(sorted(policies))
            if evicts:
                policy += ": it may throw links and events away. Set maxmemory-policy to noeviction."
            checks.append(Check("memory policy", not evicts, policy))
            checks.append(_check_redis_memory(max(facts, key=_fullness)))
            checks.append(await _check_redis_speed(redis))
            return [*checks, await _check_links(redis), await _check_stream(redis), await _check_dead(redis)]
    except (ResponseError, AuthenticationError) as error:
        return [Check("redis", False, f"Redis at {without_password(url)} turns us away: {error}")]
    except (*REDIS_FAULTS, ValueError) as error:
        return [Check("redis", False, f"Redis at {without_password(url)} does not answer: {error}")]


def _fullness(facts: RedisFacts) -> tuple[float, float]:
    share = facts.used_memory_mb / facts.memory_limit_mb if facts.memory_limit_mb else 0.0
    return share, facts.used_memory_mb


def _check_redis_memory(facts: RedisFacts) -> Check:
    used, limit = facts.used_memory_mb, facts.memory_limit_mb
    if not limit:
        return Check("redis memory", True, f"{used:.1f} MB, without a limit")
    says = f"{used:.1f} of {limit:.1f} MB"
    if used > limit:
        says = f"Redis is full ({says}) and refuses writes: clicks stay in the journals, changed links do"
        return Check("redis memory", False, f"{says} not reach the edge. Raise maxmemory.")
    if used > limit * MUCH_USED:
        says += ". When it is full, clicks stay in the journals and changed links do not reach the edge."
        says += " Raise maxmemory."
        return Check("redis memory", False, says)
    return Check("redis memory", True, says)


async def _check_redis_speed(redis: RedisShards) -> Check:
    took_ms = 0.0
    for master in await redis.list_masters():
        await master.ping()  # connects
        started = time.perf_counter()
        await master.ping()
        took_ms = max(took_ms, (time.perf_counter() - started) * 1000)
    if took_ms < LONG_ANSWER_MS:
        return Check("redis speed", True, f"answers in {took_ms:.1f} ms")
    says = f"Redis takes {took_ms:.0f} ms to answer. Links that are not in memory have to wait."
    return Check("redis speed", False, says)


async def _check_links(redis: RedisShards) -> Check:
    if await is_redis_complete(redis):
        return Check("links", True, "Redis has every link")
    return Check(
        "links", False, "Redis does not have every link. Does the publisher run? Or: ./switchyard resync."
    )


async def _check_stream(redis: RedisShards) -> Check:
    """Add up the partitions; each of them has to be read by someone."""
    waiting = pending = 0
    consumers: set[bytes] = set()
    unread: list[int] = []
    partitions = sorted(await read_partitions(redis))
    for partition in partitions:
        stream = redis_keys.events(partition)
        async with redis.at(stream) as master:
            waiting += await master.xlen(stream)
            try:
                pending += (await master.xpending(stream, redis_keys.FLUSHER_GROUP))["pending"]
                found = await master.xinfo_consumers(stream, redis_keys.FLUSHER_GROUP)
            except ResponseError:
                found = []
        consumers |= {consumer["name"].rpartition(b":")[0] for consumer in found}
        if not any(consumer["idle"] < LONG_LAG_MS for consumer in found):
            unread.append(partition)
    if not consumers:
        return Check("stream", False, "No flusher has ever read the event stream. Does one run?")
    says = f"{waiting} chunks wait, {pending} of them in hand of {len(consumers)} flusher(s)"
    if len(partitions) > 1:
        says += f", in {len(partitions)} partitions"
    if unread:
        of_which = f" of partition {', '.join(map(str, unread))}" if len(partitions) > 1 else ""
        says += f"; none has asked for more{of_which} lately. Does a flusher run?"
        return Check("stream", False, says)
    return Check("stream", True, says)


async def _check_dead(redis: RedisShards) -> Check:
    async with redis.at(redis_keys.dead_letters()) as master:
        letters = await master.xlen(redis_keys.dead_letters())
    if letters:
        key = redis_keys.dead_letters()
        return Check(
            "dead letters", False, f"{letters} chunks could not be landed; XRANGE {key} - + says why."
        )
    return Check("dead letters", True, "none")


async def _check_api(url: str) -> list[Check]:
    answer = await fetch(f"{url}/api/v1/public/health")
    if answer.status == 200:  # noqa: PLR2004
        return [Check("api", True, f"answers at {url}")]
    said = f"answers {answer.status}" if answer.status else "does not answer"
    return [Check("api", False, f"The API at {url} {said}: {answer.body.decode(errors='replace')[:200]}")]


async def _check_edge(url: str) -> list[Check]:
    # The kernel hands each connection to one of the workers: ask often enough to meet one that hangs.
    probes = [fetch(f"{url}/_/health", timeout_s=EDGE_ANSWER_S) for _ in range(EDGE_PROBES)]
    answers = await asyncio.gather(*probes)
    silent = sum(not answer.status for answer in answers)
    if 0 < silent < EDGE_PROBES:
        says = f"{silent} of {EDGE_PROBES} connections to {url} had no answer. Does a worker hang?"
        return [Check("edge", False, says)]
    try:
        found = [msgspec.json.decode(answer.body, type=_EdgeHealth) for answer in answers]
    except msgspec.MsgspecError:
        answer = min(answers, key=lambda answer: answer.status == 200)  # noqa: PLR2004
        said = f"answers {answer.status}" if answer.status else "does not answer"
        return [
            Check("edge", False, f"The edge at {url} {said}: {answer.body.decode(errors='replace')[:200]}")
        ]
    return [
        _check_workers(url, found),
        _check_clicks(found[0].events),
        _check_journal(found[0].journal),
        _check_clock([health.clock_ms / 1000 - time.time() for health in found]),
    ]


def _check_workers(url: str, found: list[_EdgeHealth]) -> Check:
    problems = dict.fromkeys(problem for health in found for problem in health.problems)
    says = f"ready at {url}, {found[0].cached_links} links in memory"
    is_ready = all(health.ready for health in found)
    if not is_ready:
        says = f"{url} is not ready."
    return Check("edge", is_ready and not problems, " ".join([says, *problems]))


def _check_clicks(events: _Events) -> Check:
    path = (
        f"served {events.served}, journaled {events.journaled}, shipped {events.shipped},"
        f" landed {events.landed}; {events.lag_events} under way, the oldest for {events.lag_ms} ms"
    )
    if events.lost:
        path += f"; {events.lost} lost to damaged journals, which the edge's log names"
    late = events.lag_ms > LONG_LAG_MS
    if late:
        path += ". Clicks wait in the journal: do Redis, flusher and Postgres run?"
    return Check("clicks", not late, path)


def _check_journal(journal: _Journal) -> Check:
    full = journal.used_bytes > journal.budget_bytes * MUCH_USED
    use = f"{journal.used_bytes / 2**20:.1f} of {journal.budget_bytes / 2**20:.0f} MB"
    if full:
        use += ". When it is full, redirects answer 503. Mend what is behind it,"
        use += " or raise SWITCHYARD_JOURNAL_BUDGET_MB."
    return Check("journal", not full, use)


def _check_clock(offsets_s: list[float]) -> Check:
    """Compare the edge's clock with ours. `offsets_s`: how far each worker's is ahead."""
    offset_s = max(offsets_s, key=abs)
    if abs(offset_s) < LONG_OFFSET_S:
        return Check("clock", True, "the edge's agrees with ours")
    side = "ahead of" if offset_s > 0 else "behind"
    says = f"The edge's clock is {abs(offset_s):.0f} s {side} ours, and clicks are dated by it."
    return Check("clock", False, f"{says} Is the time of both machines synchronised?")


def _check_space(folder: Path) -> Check:
    if not folder.is_dir():
        return Check("journal folder", False, f"{folder} is not there; SWITCHYARD_JOURNAL_DIR names it.")
    free = shutil.disk_usage(folder).free
    says = f"{free / 2**30:.1f} GB free at {folder}"
    if free < LITTLE_SPACE:
        return Check("journal folder", False, f"Only {says}.")
    return Check("journal folder", True, says)
