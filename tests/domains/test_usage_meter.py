from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from control_plane.core.actor import Actor, ActorKind
from control_plane.db.pool import API_ROLE, open_pool
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import KeyKind, KeySpec
from control_plane.domains.usage import store
from control_plane.domains.usage.meter import UsageMeter
from tests.builders import insert_user
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
async def api_pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the API has it."""
    pool = await open_pool(database_url, size=2, role=API_ROLE)
    yield pool
    pool.terminate()


@pytest.fixture
def meter(api_pool: asyncpg.Pool) -> UsageMeter:
    return UsageMeter(api_pool, lambda: NOON)


@pytest.fixture
async def user(pool: asyncpg.Pool) -> tuple[uuid.UUID, uuid.UUID]:
    async with pool.acquire() as db:
        return await insert_user(db)


async def read_calls(pool: asyncpg.Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch("SELECT tenant_id, day::text, api_calls FROM usage_days ORDER BY day, api_calls")
    return [tuple(row) for row in rows]


async def count_active(pool: asyncpg.Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM active_user_days")
    return count


async def test_batches_add_up(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    for _ in range(3):
        for _ in range(2):
            meter.count_call(*user, NOON)
        meter.count_call(user[0], None, NOON)
        await meter.flush()
    await meter.flush()
    assert await read_calls(pool) == [(user[0], "2026-05-04", 9)]
    assert await count_active(pool) == 1


async def test_processes_add_up(
    pool: asyncpg.Pool, api_pool: asyncpg.Pool, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pool.acquire() as db:
        other = await insert_user(db)
    meters = [UsageMeter(api_pool, lambda: NOON) for _ in range(4)]
    for n, one in enumerate(meters):
        for caller in (user, other) if n % 2 else (other, user):
            one.count_call(*caller, NOON)
    await asyncio.gather(*(one.flush() for one in meters))
    assert {calls for _tenant, _day, calls in await read_calls(pool)} == {4}
    assert await count_active(pool) == 2


async def test_the_day_is_that_of_utc(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    midnight = datetime(2026, 5, 5, tzinfo=UTC)
    for moment in (midnight - timedelta(microseconds=1), midnight):
        meter.count_call(*user, moment)
    await meter.flush()
    assert [row[1:] for row in await read_calls(pool)] == [("2026-05-04", 1), ("2026-05-05", 1)]
    assert await count_active(pool) == 2


async def test_a_batch_whose_commit_was_not_confirmed_counts_once(
    pool: asyncpg.Pool,
    meter: UsageMeter,
    user: tuple[uuid.UUID, uuid.UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection breaks after the commit, before its confirmation arrives."""
    write = meter._write

    async def write_and_lose(batch: Any) -> None:
        await write(batch)
        raise asyncpg.ConnectionDoesNotExistError

    meter.count_call(*user, NOON)
    monkeypatch.setattr(meter, "_write", write_and_lose)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await meter.flush()
    monkeypatch.undo()
    meter.count_call(*user, NOON)
    await meter.flush()
    assert await read_calls(pool) == [(user[0], "2026-05-04", 2)]


async def test_what_cannot_be_written_is_written_later(
    pool: asyncpg.Pool,
    meter: UsageMeter,
    user: tuple[uuid.UUID, uuid.UUID],
) -> None:
    meter.count_call(*user, NOON)
    await pool.execute("ALTER TABLE usage_days RENAME TO away")
    for _ in range(2):
        with pytest.raises(asyncpg.UndefinedTableError):
            await meter.flush()
        meter.count_call(*user, NOON)
    await pool.execute("ALTER TABLE away RENAME TO usage_days")
    await meter.flush()
    assert await read_calls(pool) == [(user[0], "2026-05-04", 3)]
    assert await count_active(pool) == 1


async def test_whoever_is_gone_does_not_hold_up_the_others(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    meter.count_call(uuid.uuid4(), uuid.uuid4(), NOON)
    meter.count_call(user[0], uuid.uuid4(), NOON)
    await meter.flush()
    assert await read_calls(pool) == [(user[0], "2026-05-04", 1)]
    assert await count_active(pool) == 0


async def test_memory_is_bounded(
    pool: asyncpg.Pool, api_pool: asyncpg.Pool, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    meter = UsageMeter(api_pool, lambda: NOON, most_keys=10)
    meter.count_call(*user, NOON)
    for _ in range(1000):
        meter.count_call(uuid.uuid4(), uuid.uuid4(), NOON)
        meter.count_call(*user, NOON)
    assert len(meter._calls) == len(meter._active) == 10
    assert len(meter._noted) <= 10
    await meter.flush()
    assert await read_calls(pool) == [(user[0], "2026-05-04", 1001)]
    for _ in range(5):
        meter.count_call(uuid.uuid4(), uuid.uuid4(), NOON)
        await meter.flush()
    assert len(meter._noted) <= 10


async def test_last_activity_only_moves_forward(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    for moment in (
        NOON,
        NOON - timedelta(minutes=30),
        NOON + timedelta(minutes=1),
        NOON + timedelta(minutes=6),
    ):
        meter.count_call(*user, moment)
        await meter.flush()
    seen = await pool.fetchval("SELECT last_active_at FROM users WHERE id = $1", user[1])
    assert seen == NOON + timedelta(minutes=6)


async def test_a_user_who_is_being_changed_is_not_waited_for(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pool.acquire() as db, db.transaction():
        await db.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user[1])
        meter.count_call(*user, NOON)
        await meter.flush()
    assert await count_active(pool) == 1


async def test_writers_that_are_gone_are_forgotten(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with pool.acquire() as db:
        for age in (timedelta(days=2), timedelta(hours=2)):
            await store.claim_batch(db, uuid.uuid4(), 1, NOON - age)
    meter.count_call(*user, NOON)
    await meter.flush()
    ages = await pool.fetch("SELECT updated_at FROM usage_writers ORDER BY updated_at")
    assert [row["updated_at"] for row in ages] == [NOON - timedelta(hours=2), NOON]


async def test_it_flushes_by_itself_and_at_the_end(
    pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with meter.running():
        meter.count_call(*user, NOON)
        await eventually(lambda: read_calls(pool))
        meter.count_call(*user, NOON)
    assert await read_calls(pool) == [(user[0], "2026-05-04", 2)]


async def test_at_the_end_a_database_that_is_away_is_not_waited_for(
    api_pool: asyncpg.Pool, meter: UsageMeter, user: tuple[uuid.UUID, uuid.UUID]
) -> None:
    async with meter.running():
        meter.count_call(*user, NOON)
        api_pool.terminate()


class TestKeyUses:
    @pytest.fixture
    async def key(self, pool: asyncpg.Pool, user: tuple[uuid.UUID, uuid.UUID]) -> tuple[uuid.UUID, uuid.UUID]:
        """A key: (tenant id, key id)."""
        spec = KeySpec(kind=KeyKind.IDENTITY, name="x")
        actor = Actor(kind=ActorKind.USER, tenant_id=user[0], user_id=user[1])
        async with pool.acquire() as db, db.transaction():
            new = await api_keys.create_key(db, actor, user[0], spec, prefix="fr_live_", now=NOON)
        return user[0], new.api_key.id

    async def read(self, pool: asyncpg.Pool, key: tuple[uuid.UUID, uuid.UUID]) -> tuple[Any, ...]:
        row = await pool.fetchrow("SELECT usage_count, last_used_at FROM api_keys WHERE id = $1", key[1])
        assert row is not None
        return tuple(row)

    async def test_processes_add_up_to_the_last_moment(
        self, pool: asyncpg.Pool, api_pool: asyncpg.Pool, key: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        last = NOON + timedelta(seconds=9)
        meters = [UsageMeter(api_pool, lambda: NOON) for _ in range(4)]
        for one in meters:
            for moment in (last, NOON):
                one.count_key_use(*key, moment)
        await asyncio.gather(*(one.flush() for one in meters))
        meters[0].count_key_use(*key, NOON)
        await meters[0].flush()
        assert await self.read(pool, key) == (9, last)

    async def test_keys_that_are_gone_hold_up_no_others(
        self, pool: asyncpg.Pool, meter: UsageMeter, key: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        meter.count_key_use(uuid.uuid4(), key[1], NOON)
        meter.count_key_use(key[0], uuid.uuid4(), NOON)
        meter.count_key_use(*key, NOON)
        await meter.flush()
        assert await self.read(pool, key) == (1, NOON)

    async def test_memory_is_bounded(
        self, pool: asyncpg.Pool, api_pool: asyncpg.Pool, key: tuple[uuid.UUID, uuid.UUID]
    ) -> None:
        meter = UsageMeter(api_pool, lambda: NOON, most_keys=1)
        for other in (key, (key[0], uuid.uuid4()), key):
            meter.count_key_use(*other, NOON)
        assert len(meter._key_uses) == 1
        await meter.flush()
        assert await self.read(pool, key) == (2, NOON)
