"""Bring a database to the schema of this code.

    MigrationError
    ├── SchemaTooNew      the database has migrations that this code does not know
    └── MigrationChanged  a migration was edited, renamed or slipped in after it was applied

Migrations only go forward; each is one transaction together with its row in schema_migrations.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from control_plane.db.job_queue import upgrade_job_queue
from control_plane.db.partitions import make_partitions

if TYPE_CHECKING:
    from control_plane.db.pool import Connection

MIGRATIONS: Final = Path(__file__).with_name("migrations")

MIGRATION_LOCK: Final = 0x7379_6D69
"""Advisory lock "symi": one process migrates, the others wait and find nothing left to do."""

CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL
)"""


class MigrationError(Exception):
    """The database cannot be brought to the schema of this code; nothing was changed."""


class SchemaTooNew(MigrationError):  # noqa: N818  named for what happened
    """The database has migrations that this code does not know."""


class MigrationChanged(MigrationError):  # noqa: N818  named for what happened
    """A migration is no longer what was applied."""


class Migration(msgspec.Struct, frozen=True):
    """One file NNNN_name.sql. `checksum`: SHA-256 of its text, in hex."""

    version: int
    name: str
    checksum: str
    sql: str


async def migrate(database_url: str, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing and give the names of the migrations that were applied.

    Also makes the month partitions around today and brings PgQueuer's tables up to date.
    Safe to call at every start, and by several processes at once. Needs a direct connection:
    the lock belongs to the session, which a transaction-pooling proxy does not keep.
    Raises SchemaTooNew or MigrationChanged.
    """
    db = await asyncpg.connect(database_url, server_settings={"application_name": "switchyard-migrate"})
    try:
        await db.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        applied = await _apply_missing(db, read_migrations(migrations))
        await upgrade_job_queue(db)
        await make_partitions(db, datetime.now(UTC))
    finally:
        await db.close()  # which also frees the lock
    return applied


def read_migrations(folder: Path) -> list[Migration]:
    """Read the NNNN_name.sql files of a folder, in order."""
    return [_read_migration(path) for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))]


def _read_migration(path: Path) -> Migration:
    sql = path.read_text(encoding="utf-8")
    checksum = hashlib.sha256(sql.encode()).hexdigest()
    return Migration(version=int(path.stem[:4]), name=path.stem, checksum=checksum, sql=sql)


async def _apply_missing(db: Connection, migrations: list[Migration]) -> list[str]:
    await db.execute(CREATE_LEDGER)
    rows = await db.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    _check_history([(row["version"], row["name"], row["checksum"]) for row in rows], migrations)
    missing = migrations[len(rows) :]
    for migration in missing:
        async with db.transaction():
            await db.execute(migration.sql)
            await db.execute(
                "INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)",
                migration.version,
                migration.name,
                migration.checksum,
                datetime.now(UTC),
            )
    return [migration.name for migration in missing]


def _check_history(applied: list[tuple[int, str, str]], migrations: list[Migration]) -> None:
    """Check that what was applied is the beginning of what this code knows."""
    newest_known = max((migration.version for migration in migrations), default=0)
    for version, name, _checksum in applied:
        if version > newest_known:
            raise SchemaTooNew(
                f"the database has migration {name}, this version of Switchyard ends at {newest_known:04d}:"
                " start a newer version"
            )
    for (_version, name, checksum), migration in zip(applied, migrations, strict=False):
        if (name, checksum) != (migration.name, migration.checksum):
            raise MigrationChanged(
                f"migration {name} was applied with checksum {checksum[:12]}, but here stands"
                f" {migration.name} with {migration.checksum[:12]}: put the change into a new migration"
            )
    if len(applied) > len(migrations):
        raise MigrationChanged(f"migration {applied[len(migrations)][1]} was applied, but its file is gone")
