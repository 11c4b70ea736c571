"""Every named query is one that Postgres accepts against the migrated schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

import control_plane
from control_plane.db.migrate import MIGRATIONS
from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    from control_plane.db.pool import Pool

ROOT = Path(control_plane.__file__).parent
QUERY_FILES = sorted(path for path in ROOT.rglob("*.sql") if MIGRATIONS not in path.parents)


def test_the_files_are_found() -> None:
    assert ROOT / "pipeline" / "publisher.sql" in QUERY_FILES


@pytest.mark.parametrize("path", QUERY_FILES, ids=lambda path: str(path.relative_to(ROOT)))
async def test_every_query_can_be_prepared(pool: Pool, path: Path) -> None:
    queries = load_queries(path)
    assert queries.available_queries, f"{path} has no query"
    faults = {}
    async with pool.acquire() as db:
        for name in queries.available_queries:
            try:
                await db.prepare(getattr(queries, name).sql)
            except asyncpg.PostgresError as error:
                faults[name] = str(error)
    assert faults == {}
