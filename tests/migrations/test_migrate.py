from __future__ import annotations

import asyncio
import secrets
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from control_plane.db.migrate import MIGRATIONS, MigrationChanged, SchemaTooNew, migrate, read_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import TestServer

CATALOG = """
SELECT relname || ' ' || relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1
"""


@pytest.fixture
async def empty_database_url(postgres_server: TestServer) -> AsyncIterator[str]:
    name = f"switchyard_empty_{secrets.token_hex(6)}"
    server = await asyncpg.connect(postgres_server.url)
    await server.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(postgres_server.url)._replace(path=f"/{name}"))
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A copy of the migrations, to be edited."""
    return shutil.copytree(MIGRATIONS, tmp_path / "migrations")


async def fetch_column(database_url: str, query: str) -> list[object]:
    db = await asyncpg.connect(database_url)
    try:
        return [row[0] for row in await db.fetch(query)]
    finally:
        await db.close()


class TestMigrate:
    async def test_an_empty_database_gets_everything(self, empty_database_url: str) -> None:
        names = [migration.name for migration in read_migrations(MIGRATIONS)]
        assert await migrate(empty_database_url) == names
        assert await fetch_column(empty_database_url, "SELECT name FROM schema_migrations") == names
        tables = await fetch_column(empty_database_url, "SELECT tablename FROM pg_tables")
        assert {"links", "clicks_default", "pgqueuer", "pgqueuer_schedules"} <= set(tables)
        (partitions,) = await fetch_column(
            empty_database_url,
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass",
        )
        assert partitions == 6  # five months and the default

    async def test_a_second_time_changes_nothing(self, empty_database_url: str) -> None:
        await migrate(empty_database_url)
        before = await fetch_column(empty_database_url, CATALOG)
        assert await migrate(empty_database_url) == []
        assert await fetch_column(empty_database_url, CATALOG) == before

    async def test_two_at_once_apply_each_migration_once(self, empty_database_url: str) -> None:
        applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))
        names = [migration.name for migration in read_migrations(MIGRATIONS)]
        assert sorted(applied, reverse=True) == [names, [], []]

    async def test_a_new_migration_is_applied_alone(self, empty_database_url: str, migrations: Path) -> None:
        await migrate(empty_database_url)
        (migrations / "9998_parts.sql").write_text("CREATE TABLE parts (id integer)")
        assert await migrate(empty_database_url, migrations) == ["9998_parts"]

    async def test_a_failing_migration_leaves_no_trace(
        self, empty_database_url: str, migrations: Path
    ) -> None:
        (migrations / "9998_parts.sql").write_text("CREATE TABLE parts (id integer); SELECT 1 / 0")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrate(empty_database_url, migrations)
        assert await fetch_column(empty_database_url, "SELECT to_regclass('parts')") == [None]
        applied = await fetch_column(empty_database_url, "SELECT name FROM schema_migrations")
        assert "9998_parts" not in applied

    async def test_a_newer_database_is_refused(self, database_url: str, migrations: Path) -> None:
        (migrations / "9998_parts.sql").write_text("CREATE TABLE parts (id integer)")
        await migrate(database_url, migrations)
        with pytest.raises(SchemaTooNew, match=r"9998_parts.*start a newer version"):
            await migrate(database_url)

    async def test_an_edited_migration_is_refused(self, database_url: str, migrations: Path) -> None:
        first = migrations / "0001_foundation.sql"
        first.write_text(first.read_text() + "-- edited\n")
        with pytest.raises(MigrationChanged, match="0001_foundation was applied with checksum"):
            await migrate(database_url, migrations)

    async def test_line_endings_are_no_edit(self, database_url: str, migrations: Path) -> None:
        first = migrations / "0001_foundation.sql"
        first.write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))
        assert await migrate(database_url, migrations) == []

    async def test_a_migration_slipped_in_before_is_refused(
        self, database_url: str, migrations: Path
    ) -> None:
        (migrations / "0000_early.sql").write_text("CREATE TABLE early (id integer)")
        with pytest.raises(MigrationChanged, match="here stands 0000_early"):
            await migrate(database_url, migrations)

    async def test_a_migration_whose_file_is_gone_is_refused(
        self, database_url: str, migrations: Path
    ) -> None:
        (migrations / "9997_parts.sql").write_text("CREATE TABLE parts (id integer)")
        (migrations / "9998_more.sql").write_text("CREATE TABLE more (id integer)")
        await migrate(database_url, migrations)
        (migrations / "9997_parts.sql").unlink()
        with pytest.raises(MigrationChanged, match=r"9997_parts was applied.*here stands 9998_more"):
            await migrate(database_url, migrations)


class TestJobQueue:
    async def test_an_interrupted_installation_is_completed(self, empty_database_url: str) -> None:
        await migrate(empty_database_url)
        complete = await fetch_column(empty_database_url, CATALOG)
        await fetch_column(empty_database_url, "DROP TABLE pgqueuer_schedules")
        await fetch_column(empty_database_url, "DROP FUNCTION fn_pgqueuer_changed CASCADE")
        await migrate(empty_database_url)
        assert await fetch_column(empty_database_url, CATALOG) == complete

    async def test_the_environment_renames_nothing(
        self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGQUEUER_PREFIX", "other_")
        monkeypatch.setenv("QUEUE_TABLE", "something_else")
        await migrate(empty_database_url)
        assert await fetch_column(empty_database_url, "SELECT to_regclass('pgqueuer')::text") == ["pgqueuer"]
        assert await fetch_column(empty_database_url, "SELECT to_regclass('something_else')") == [None]

    async def test_jobs_survive_a_crash_and_their_log_need_not(self, database_url: str) -> None:
        logged = await fetch_column(
            database_url,
            "SELECT relname FROM pg_class WHERE relname ~ '^pgqueuer' AND relkind = 'r'"
            " AND relpersistence = 'p' ORDER BY relname",
        )
        assert logged == ["pgqueuer", "pgqueuer_schedules"]
