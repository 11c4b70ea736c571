"""Rows of projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.core.page import HIGHEST, LOWEST
from control_plane.db.pool import load_queries
from control_plane.domains.projects.model import Project

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.page import StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.projects.model import ProjectDraft

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def count_projects(db: Connection, tenant_id: uuid.UUID) -> int:
    """Count a tenant's projects."""
    total: int = await _queries.count_projects(db, tenant_id=tenant_id)
    return total


async def find_projects(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> list[uuid.UUID]:
    """Find the ids of a stretch of projects, as core/page.py wants them."""
    low, high = request.narrow(LOWEST, HIGHEST)
    common = {"tenant_id": tenant_id, "low": low, "high": high, "limit": request.limit}
    if request.newer_than is not None:
        rows = _queries.find_newer_projects(db, **common)
    else:
        rows = _queries.find_older_projects(db, **common, offset=request.offset)
    return [row["id"] async for row in rows]


async def fetch_projects(
    db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID]
) -> dict[uuid.UUID, Project]:
    """Read projects by their ids."""
    rows = _queries.fetch_projects(db, tenant_id=tenant_id, ids=ids)
    return {row["id"]: Project(**row) async for row in rows}


async def insert_project(  # noqa: PLR0913  whose, which, what, and what it proves itself with
    db: Connection,
    tenant_id: uuid.UUID,
    project_id: uuid.UUID,
    draft: ProjectDraft,
    *,
    secret_hash: bytes,
    now: datetime,
) -> Project:
    """Add a project."""
    facts = msgspec.structs.asdict(draft)
    return Project(
        **await _queries.insert_project(
            db, tenant_id=tenant_id, id=project_id, secret_hash=secret_hash, now=now, **facts
        )
    )


async def lock_project(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> Project | None:
    """Find a project, and keep others from changing it until the transaction ends."""
    row = await _queries.lock_project(db, tenant_id=tenant_id, project_id=project_id)
    return None if row is None else Project(**row)


async def update_project(
    db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID, content: ProjectDraft, now: datetime
) -> Project:
    """Write what a project is, as its next version."""
    facts = msgspec.structs.asdict(content)
    return Project(
        **await _queries.update_project(db, tenant_id=tenant_id, project_id=project_id, now=now, **facts)
    )


async def replace_secret(  # noqa: PLR0913  whose, which, from what to what, and when
    db: Connection,
    tenant_id: uuid.UUID,
    project_id: uuid.UUID,
    *,
    secret_hash: bytes,
    until: datetime | None,
    now: datetime,
) -> Project:
    """Give a project a new secret. `until`: how long the one before serves on; None: no longer."""
    row = await _queries.replace_secret(
        db, tenant_id=tenant_id, project_id=project_id, secret_hash=secret_hash, until=until, now=now
    )
    return Project(**row)


async def enqueue_publication(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> None:
    """Have the project's record put into Redis once the transaction commits."""
    await _queries.enqueue_publication(db, tenant_id=tenant_id, project_id=project_id)
