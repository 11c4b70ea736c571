"""Projects: what visits, clicks and sales belong to."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from control_plane.core.actor import Actor
from control_plane.core.decoding import accept, decode_parameters
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.page import PageQueryIn, Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.projects import service
from control_plane.domains.projects.errors import ProjectNotFound

if TYPE_CHECKING:
    from control_plane.domains.projects.model import Project


class ProjectOut(msgspec.Struct, frozen=True, kw_only=True):
    """One project. `status`: active, paused or archived. Added: `currency`, of amounts that name none."""

    id: uuid.UUID
    name: str
    domain: str | None
    status: str
    currency: str
    created_at: Moment


@get("/projects", opt={"scope": "projects:read"})
async def list_projects(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[ProjectOut]:
    """List projects, newest first."""
    tenant_id = tenant_of(actor)
    paging = Paging("projects", tenant_id)
    asked = paging.read(accept(decode_parameters(request.query_params, PageQueryIn)))
    async with services.snapshot(tenant_id) as db:
        stretch = await service.list_projects(db, tenant_id, asked)
    return wrap_list(request, [show_project(project) for project in stretch.items], paging.show(stretch))


@get("/projects/{project_id:str}", opt={"scope": "projects:read"})
async def get_project(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[ProjectOut]:
    """Get a project."""
    project_id, tenant_id = read_id(request, "project_id", ProjectNotFound()), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        project = await service.fetch_project(db, tenant_id, project_id)
    return wrap(request, show_project(project))


def show_project(project: Project) -> ProjectOut:
    """Shape a project as this contract does."""
    return ProjectOut(
        id=project.id,
        name=project.name,
        domain=project.domain,
        status=project.status,
        currency=project.currency,
        created_at=project.created_at,
    )
