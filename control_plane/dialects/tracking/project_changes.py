"""Projects: make, change, give a new secret."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody, read_optional_body
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, wrap
from control_plane.dialects.tracking.paths import read_id
from control_plane.dialects.tracking.projects import ProjectOut
from control_plane.domains.projects import service
from control_plane.domains.projects.errors import ProjectNotFound
from control_plane.domains.projects.model import NewSecret, Project, ProjectChanges, ProjectDraft


class ProjectCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A project to make. `currency`: of amounts that name none. `accepts_tag_sales`: from pages."""

    name: str
    domain: str | None = None
    currency: str = "USD"
    accepts_tag_sales: bool = True


class ProjectPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change. `status`: active, paused or archived; only active ones take anything in."""

    name: str | UnsetType = UNSET
    domain: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    accepts_tag_sales: bool | UnsetType = UNSET


class SecretIn(msgspec.Struct, frozen=True, kw_only=True):
    """`ends_previous`: whether the secret before is worth nothing from now on, instead of for 24 hours."""

    ends_previous: bool = False


class ChangedProjectOut(ProjectOut, frozen=True, kw_only=True):
    """A project with all that was decided about it."""

    accepts_tag_sales: bool
    previous_secret_until: Moment | None


class NewSecretOut(ChangedProjectOut, frozen=True, kw_only=True):
    """A project with its secret, which nobody can show again."""

    secret: str


@post(
    "/projects",
    status_code=201,
    dto=JsonBody[ProjectCreateIn],
    return_dto=None,
    opt={"scope": "projects:write"},
)
async def create_project(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[ProjectCreateIn]],
) -> DataOut[NewSecretOut]:
    """Make a project. Its secret, which postbacks prove themselves with, is shown this once."""
    draft, tenant_id = ProjectDraft(**msgspec.structs.asdict(accept(data))), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        new = await service.create_project(db, actor, tenant_id, draft, services.clock())
    return wrap(request, show_secret(new))


@patch(
    "/projects/{project_id:str}",
    dto=JsonBody[ProjectPatchIn],
    return_dto=None,
    opt={"scope": "projects:write"},
)
async def change_project(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[ProjectPatchIn]],
) -> DataOut[ChangedProjectOut]:
    """Change a project; what is left out stays. Edges act on it within about a second."""
    project_id, tenant_id = read_id(request, "project_id", ProjectNotFound()), tenant_of(actor)
    changes = ProjectChanges(**msgspec.structs.asdict(accept(data)))
    async with services.transaction(tenant_id) as db:
        project = await service.change_project(
            db, actor, tenant_id, project_id, changes, now=services.clock()
        )
    return wrap(request, ChangedProjectOut(**_describe(project)))


@post("/projects/{project_id:str}/secret", status_code=200, opt={"scope": "projects:write"})
async def rotate_secret(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[NewSecretOut]:
    """Give a project a new secret, shown this once. The one before serves for 24 hours, or ends at once.

    What was the one before until now is worth nothing any more.
    """
    project_id, tenant_id = read_id(request, "project_id", ProjectNotFound()), tenant_of(actor)
    ends_previous = (await read_optional_body(request, SecretIn)).ends_previous
    async with services.transaction(tenant_id) as db:
        new = await service.rotate_secret(
            db, actor, tenant_id, project_id, ends_previous=ends_previous, now=services.clock()
        )
    return wrap(request, show_secret(new))


def show_secret(new: NewSecret) -> NewSecretOut:
    """Shape a project with the secret that was just drawn."""
    return NewSecretOut(**_describe(new.project), secret=new.secret)


def _describe(project: Project) -> dict[str, Any]:
    return {name: getattr(project, name) for name in ChangedProjectOut.__struct_fields__}
