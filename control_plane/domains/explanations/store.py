"""Clicks, and the versions of links that they were served by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.explanations.model import ExplainedClick, KeptRecord, KeptVersion

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def fetch_click(
    db: Connection, tenant_id: uuid.UUID, click_id: uuid.UUID, user_id: uuid.UUID | None
) -> ExplainedClick | None:
    """Find a click. `user_id`: only one of a link of that user."""
    row = await _queries.fetch_click(db, tenant_id=tenant_id, click_id=click_id, user_id=user_id)
    return None if row is None else ExplainedClick(**row)


async def fetch_version(
    db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, version: int
) -> KeptVersion | None:
    """Find a link as it was; None for versions older than the table."""
    row = await _queries.fetch_version(db, tenant_id=tenant_id, link_id=link_id, version=version)
    if row is None:
        return None
    record = msgspec.convert(row["record"], KeptRecord)
    return KeptVersion(version=row["version"], changed_at=row["changed_at"], record=record)
