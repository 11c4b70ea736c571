"""The wall between tenants, as Postgres itself keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from control_plane.core.ids import new_id
from control_plane.db.pool import API_ROLE, enter_system, enter_tenant, open_pool
from tests.builders import LinkRow, insert_link, insert_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from control_plane.db.pool import Connection

TENANT_TABLES = """
SELECT c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""

FOREIGN_KEYS = """
SELECT f.conname || ' of ' || f.conrelid::regclass AS name
FROM pg_constraint f
JOIN pg_attribute own ON own.attrelid = f.conrelid AND own.attname = 'tenant_id'
JOIN pg_attribute other ON other.attrelid = f.confrelid AND other.attname = 'tenant_id'
WHERE f.contype = 'f' AND NOT own.attnum = ANY (f.conkey)
"""


@pytest.fixture
async def api_pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the API has it."""
    pool = await open_pool(database_url, size=3, role=API_ROLE)
    yield pool
    pool.terminate()


@pytest.fixture
async def tenants(pool: asyncpg.Pool) -> tuple[UUID, UUID]:
    """Two tenants with a user and a link each."""
    made = []
    async with pool.acquire() as db:
        for slug in ("mine", "theirs"):
            tenant_id, user_id = await insert_user(db)
            await insert_link(db, LinkRow(tenant_id, user_id, slug))
            made.append(tenant_id)
    return made[0], made[1]


async def attempt(db: Connection, statement: str, *arguments: object, tenant: UUID | None) -> str:
    """Run one statement in a transaction of a tenant, or of the system for None."""
    async with db.transaction():
        await (enter_system(db) if tenant is None else enter_tenant(db, tenant))
        return await db.execute(statement, *arguments)


class TestSchema:
    async def test_every_table_of_a_tenant_is_behind_the_wall(self, pool: asyncpg.Pool) -> None:
        tables = await pool.fetch(TENANT_TABLES)
        assert {"users", "links", "clicks", "sessions", "audit_log"} <= {row["name"] for row in tables}
        outside = [row["name"] for row in tables if tuple(row)[1:] != (True, True, 2)]
        assert outside == []

    async def test_foreign_keys_between_tables_of_tenants_hold_the_tenant(self, pool: asyncpg.Pool) -> None:
        assert [row["name"] for row in await pool.fetch(FOREIGN_KEYS)] == []

    async def test_the_api_owns_nothing(self, pool: asyncpg.Pool) -> None:
        owned = await pool.fetchval(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
            " WHERE r.rolname IN ('switchyard_api', 'switchyard_system')"
        )
        assert owned == 0
        too_many = await pool.fetchval(
            "SELECT bool_or(rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)"
            " FROM pg_roles WHERE rolname IN ('switchyard_api', 'switchyard_system')"
        )
        assert too_many is False


class TestRows:
    @pytest.mark.usefixtures("tenants")
    async def test_outside_of_a_tenant_there_are_none(self, api_pool: asyncpg.Pool) -> None:
        for table in ("tenants", "users", "links", "variants", "link_outbox"):
            assert await api_pool.fetchval(f"SELECT count(*) FROM {table}") == 0

    async def test_inside_there_are_its_own(self, api_pool: asyncpg.Pool, tenants: tuple[UUID, UUID]) -> None:
        async with api_pool.acquire() as db, db.transaction():
            await enter_tenant(db, tenants[0])
            assert [row["slug"] for row in await db.fetch("SELECT slug FROM links")] == ["mine"]
            assert await db.fetchval("SELECT id FROM tenants") == tenants[0]

    async def test_it_ends_with_the_transaction(
        self, api_pool: asyncpg.Pool, tenants: tuple[UUID, UUID]
    ) -> None:
        async with api_pool.acquire() as db:
            async with db.transaction():
                await enter_tenant(db, tenants[0])
            assert await db.fetchval("SELECT count(*) FROM links") == 0
            async with db.transaction():
                await enter_system(db)
                assert await db.fetchval("SELECT count(*) FROM links") == 2
            assert await db.fetchval("SELECT count(*) FROM links") == 0

    async def test_rows_of_others_cannot_be_written(
        self, api_pool: asyncpg.Pool, tenants: tuple[UUID, UUID]
    ) -> None:
        mine, theirs = tenants
        async with api_pool.acquire() as db:
            change = "UPDATE links SET name = 'x' WHERE slug = 'theirs'"
            assert await attempt(db, change, tenant=mine) == "UPDATE 0"
            assert await attempt(db, change.replace("theirs", "mine"), tenant=mine) == "UPDATE 1"
            insertion = "INSERT INTO usage_days (tenant_id, day) VALUES ($1, '2026-01-01')"
            assert await attempt(db, insertion, mine, tenant=mine) == "INSERT 0 1"
            for statement in (insertion, "UPDATE users SET tenant_id = $1"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await attempt(db, statement, theirs, tenant=mine)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit_log SET action = 'x'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
            "DELETE FROM users",
            "DELETE FROM clicks",
            "SELECT * FROM clicks_default",
            "SELECT * FROM journal_ledger",
            "ALTER TABLE links DISABLE ROW LEVEL SECURITY",
            "CREATE TABLE mine (id integer)",
            "UPDATE data_keys SET version = 2",
        ],
    )
    @pytest.mark.parametrize("is_system", [False, True])
    async def test_what_neither_role_may_do(
        self, api_pool: asyncpg.Pool, statement: str, is_system: bool
    ) -> None:
        async with api_pool.acquire() as db:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await attempt(db, statement, tenant=None if is_system else new_id())

    async def test_a_malformed_tenant_is_an_error_not_everybody(self, api_pool: asyncpg.Pool) -> None:
        async with api_pool.acquire() as db, db.transaction():
            await enter_tenant(db, new_id())
            assert await db.fetchval("SELECT count(*) FROM links") == 0
            await db.execute("SELECT set_config('app.tenant_id', 'all', true)")
            with pytest.raises(asyncpg.InvalidTextRepresentationError):
                await db.fetchval("SELECT count(*) FROM links")
