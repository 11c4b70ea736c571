"""Two transactions that get in each other's way, one step after the other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from control_plane.core.actor import SYSTEM, Actor, ActorKind
from control_plane.domains.federation import service
from control_plane.domains.federation.errors import LastWayToSignIn
from control_plane.domains.federation.model import Person, ProviderName
from tests.dialects.members import make_tenant
from tests.support import eventually

if TYPE_CHECKING:
    import uuid

    import asyncpg

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)


def make_person(provider: ProviderName, email: str | None = None) -> Person:
    issuer = f"https://{provider}.test"
    return Person(provider=provider, issuer=issuer, subject="1094", email=email, full_name=None)


async def register(pool: asyncpg.Pool, tenant_id: uuid.UUID, person: Person) -> uuid.UUID:
    async with pool.acquire() as db, db.transaction():
        return await service.find_or_register(db, tenant_id, person, SYSTEM, NOW)


async def wait_until_it_waits(pool: asyncpg.Pool, task: asyncio.Task[object]) -> None:
    """Wait until a task's transaction waits for another's lock; or ends, because it never had to."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    async def waits() -> bool:
        return task.done() or await pool.fetchval(waiting) > 0

    await eventually(waits)


@pytest.mark.parametrize("email", ["jane@acme.test", None])
async def test_of_two_first_sign_ins_the_later_finds_the_user_of_the_earlier(
    pool: asyncpg.Pool, email: str | None
) -> None:
    tenant_id, person = await make_tenant(pool, NOW), make_person(ProviderName.GOOGLE, email)
    async with pool.acquire() as db, db.transaction():
        earlier = await service.find_or_register(db, tenant_id, person, SYSTEM, NOW)
        later = asyncio.create_task(register(pool, tenant_id, person))
        await wait_until_it_waits(pool, later)
    assert await later == earlier


async def test_of_two_unlinks_the_later_sees_that_the_earlier_left_one_way_in(pool: asyncpg.Pool) -> None:
    tenant_id = await make_tenant(pool, NOW)
    user_id = await register(pool, tenant_id, make_person(ProviderName.GOOGLE))
    actor = Actor(kind=ActorKind.USER, tenant_id=tenant_id, user_id=user_id)
    async with pool.acquire() as db, db.transaction():
        await service.link_identity(db, actor, make_person(ProviderName.TELEGRAM), NOW)

    async def unlink_telegram() -> None:
        async with pool.acquire() as db, db.transaction():
            await service.unlink_identity(db, actor, "telegram", set(ProviderName), NOW)

    async with pool.acquire() as db, db.transaction():
        await service.unlink_identity(db, actor, "google", set(ProviderName), NOW)
        later = asyncio.create_task(unlink_telegram())
        await wait_until_it_waits(pool, later)
    with pytest.raises(LastWayToSignIn):
        await later
