"""Rows of tenants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def find_id_by_slug(db: Connection, slug: str) -> uuid.UUID | None:
    """Find a live tenant by its slug. `db`: in a transaction that sees all tenants."""
    tenant_id: uuid.UUID | None = await _queries.find_id_by_slug(db, slug=slug)
    return tenant_id
