"""Projects and API keys on their way from Postgres to the edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from control_plane.core.actor import SYSTEM
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import KeyKind, KeySpec
from control_plane.domains.projects import service as projects
from control_plane.domains.projects.model import ProjectChanges, ProjectDraft
from control_plane.domains.tenants import service as tenants
from control_plane.domains.tenants.model import TenantChanges
from control_plane.pipeline import intake, publisher
from edge.contract import redis_keys
from edge.contract.key_format import hash_secret
from edge.directory import Directory, DirectoryUnavailableError
from tests.builders import insert_user
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from control_plane.domains.api_keys.model import NewApiKey
    from control_plane.domains.projects.model import NewSecret
    from edge.contract.intake_record import ProjectRecord
    from edge.contract.redis_shards import RedisShards

    RunPublisher: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
SPEC = KeySpec(kind=KeyKind.IDENTITY, name="Sales", scopes=("sales:write",))


@pytest.fixture
async def tenant_id(pool: Pool) -> UUID:
    async with pool.acquire() as db:
        return (await insert_user(db))[0]


@pytest.fixture
async def directory(redis_url: str) -> AsyncIterator[Directory]:
    directory = Directory(redis_url)
    yield directory
    await directory.aclose()


async def make_project(pool: Pool, tenant_id: UUID, **facts: Any) -> NewSecret:
    async with pool.acquire() as db, db.transaction():
        return await projects.create_project(db, SYSTEM, tenant_id, ProjectDraft(name="Shop", **facts), NOW)


async def make_key(pool: Pool, tenant_id: UUID, spec: KeySpec = SPEC) -> NewApiKey:
    async with pool.acquire() as db, db.transaction():
        return await api_keys.create_key(db, SYSTEM, tenant_id, spec, prefix="fr_live_", now=NOW)


async def publish_all(pool: Pool, shards: RedisShards) -> int:
    async with pool.acquire() as db:
        return await intake.publish_changes(db, shards)


async def ask(directory: Directory, new: NewSecret) -> ProjectRecord | None:
    """Find a project; None also while Redis is being filled."""
    try:
        return await directory.find_project(new.project.id.bytes)
    except DirectoryUnavailableError:
        return None


class TestProjects:
    async def test_one_reaches_the_edge_with_all_that_decides(
        self, pool: Pool, tenant_id: UUID, directory: Directory, run_publisher: RunPublisher
    ) -> None:
        async with run_publisher():
            new = await make_project(pool, tenant_id, domain="shop.example", currency="BRL")
            async with pool.acquire() as db, db.transaction():
                second = await projects.rotate_secret(
                    db, SYSTEM, tenant_id, new.project.id, ends_previous=False, now=NOW
                )

            async def is_there() -> bool:
                record = await ask(directory, new)
                return record is not None and record.version == 2

            await eventually(is_there)
            record = await directory.find_project(new.project.id.bytes)
        assert record is not None
        assert (record.tenant_id, record.is_active, record.domain, record.currency) == (
            tenant_id.bytes,
            True,
            "shop.example",
            "BRL",
        )
        assert record.secret_hash == hash_secret(second.secret)
        assert record.previous_secret_hash == hash_secret(new.secret)
        until = NOW + timedelta(hours=24)
        assert record.previous_secret_until_ms == until.timestamp() * 1000

    async def test_a_paused_one_is_seen_within_about_a_second(
        self, pool: Pool, tenant_id: UUID, directory: Directory, run_publisher: RunPublisher
    ) -> None:
        new = await make_project(pool, tenant_id)

        async def is_active(*, wanted: bool) -> bool:
            record = await ask(directory, new)
            return record is not None and record.is_active is wanted

        async with run_publisher():
            await eventually(lambda: is_active(wanted=True))
            async with pool.acquire() as db, db.transaction():
                changes = ProjectChanges(status="paused")
                await projects.change_project(db, SYSTEM, tenant_id, new.project.id, changes, now=NOW)
            await eventually(lambda: is_active(wanted=False), timeout_s=3)


class TestKeys:
    async def test_only_those_that_may_report_sales_are_known(
        self, pool: Pool, redis: Redis, shards: RedisShards, directory: Directory, tenant_id: UUID
    ) -> None:
        spec = KeySpec(
            kind=KeyKind.IDENTITY,
            name="Sales",
            scopes=("sales:write",),
            allowed_ips=(ip_network("198.51.100.0/24"), ip_network("::1")),
            expires_at=NOW + timedelta(days=1),
        )
        key = await make_key(pool, tenant_id, spec)
        other = await make_key(
            pool, tenant_id, KeySpec(kind=KeyKind.IDENTITY, name="x", scopes=("sales:read",))
        )
        async with pool.acquire() as db, db.transaction():
            await api_keys.revoke_key(db, SYSTEM, tenant_id, other.api_key.id, kind=KeyKind.IDENTITY, now=NOW)
        assert await publish_all(pool, shards) == 2
        assert await redis.hlen(redis_keys.intake_keys()) == 1
        record = await directory.find_key(key.secret)
        assert record is not None
        assert (record.tenant_id, record.is_active) == (tenant_id.bytes, True)
        assert record.allowed_ips == ("198.51.100.0/24", "::1")
        assert record.expires_at_ms == (NOW + timedelta(days=1)).timestamp() * 1000

    async def test_a_revoked_one_is_not_active(
        self, pool: Pool, shards: RedisShards, directory: Directory, tenant_id: UUID
    ) -> None:
        key = await make_key(pool, tenant_id)
        await publish_all(pool, shards)
        async with pool.acquire() as db, db.transaction():
            await api_keys.revoke_key(db, SYSTEM, tenant_id, key.api_key.id, kind=KeyKind.IDENTITY, now=NOW)
        await publish_all(pool, shards)
        record = await directory.find_key(key.secret)
        assert record is not None
        assert (record.version, record.is_active) == (2, False)

    async def test_those_of_a_suspended_tenant_are_not_active(
        self, pool: Pool, shards: RedisShards, tenant_id: UUID, redis_url: str
    ) -> None:
        key = await make_key(pool, tenant_id)
        suspended, active = TenantChanges(status="Suspended"), TenantChanges(status="Active")
        for changes, is_active in ((suspended, False), (active, True)):
            async with pool.acquire() as db, db.transaction():
                await tenants.change_tenant(db, SYSTEM, tenant_id, changes, NOW)
            await publish_all(pool, shards)
            directory = Directory(redis_url)
            record = await directory.find_key(key.secret)
            await directory.aclose()
            assert record is not None
            assert record.is_active is is_active


class TestResync:
    async def test_all_are_there_before_the_marker_vouches_for_them(
        self, pool: Pool, shards: RedisShards, tenant_id: UUID, directory: Directory
    ) -> None:
        made = [await make_project(pool, tenant_id) for _ in range(5)]
        keys = [await make_key(pool, tenant_id) for _ in range(3)]
        await pool.execute("DELETE FROM intake_outbox")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intake, "RESYNC_PAGE_SIZE", 2)
            await publisher.resync(pool, shards)
        for new in made:
            assert await directory.find_project(new.project.id.bytes) is not None
        for key in keys:
            assert await directory.find_key(key.secret) is not None
        assert await directory.find_project(bytes(16)) is None
