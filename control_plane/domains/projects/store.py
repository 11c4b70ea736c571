"""Rows of projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.projects.model import Project

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.projects.model import ProjectDraft

_queries = load_queries(Path(__file__).with_name("queries.sql"))


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
