"""Projects of a tenant, page by page."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane.core.page import HIGHEST, LOWEST, cut_keys
from control_plane.db.pool import load_queries
from control_plane.domains.projects.errors import ProjectNotFound

if TYPE_CHECKING:
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("listing.sql"))


class ListedProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project. `currency`: what amounts without one are in."""

    id: uuid.UUID
    name: str
    domain: str | None
    status: str
    currency: str
    created_at: datetime


async def list_projects(
    db: Connection, tenant_id: uuid.UUID, request: StretchRequest
) -> Stretch[ListedProject]:
    """List a tenant's projects, whatever their status, newest first. `db`: with one snapshot."""
    total: int = await _queries.count_projects(db, tenant_id=tenant_id)
    low, high = request.narrow(LOWEST, HIGHEST)
    if request.newer_than is not None:
        rows = _queries.find_newer_projects(db, tenant_id=tenant_id, low=low, high=high, limit=request.limit)
    else:
        rows = _queries.find_older_projects(
            db, tenant_id=tenant_id, low=low, high=high, limit=request.limit, offset=request.offset
        )
    stretch = cut_keys([row["id"] async for row in rows], request, total)
    return stretch.fill(await _fetch_projects(db, tenant_id, stretch.items))


async def fetch_project(db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID) -> ListedProject:
    """Find a project. Raises ProjectNotFound."""
    found = await _fetch_projects(db, tenant_id, [project_id])
    if project_id not in found:
        raise ProjectNotFound
    return found[project_id]


async def _fetch_projects(
    db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID]
) -> dict[uuid.UUID, ListedProject]:
    rows = _queries.fetch_projects(db, tenant_id=tenant_id, ids=ids)
    return {row["id"]: ListedProject(**row) async for row in rows}
