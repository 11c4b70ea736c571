"""What a project's pages and ad networks are given, so that it learns of visits and sales."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import accept, decode_parameters
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, wrap
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.links import service as links
from control_plane.domains.links.short_urls import build_base_url
from control_plane.domains.projects import service as projects
from control_plane.domains.projects.errors import ProjectNotFound
from control_plane.domains.projects.snippets import build_snippet


class SnippetQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tag comes from.

    `domain`: a verified domain of the tenant, empty for the service's own; by default that which was verified
    first, as for links. One below the shop's own makes the tag first-party.
    """

    domain: Annotated[str, Meta(max_length=253)] | UnsetType = UNSET


class SnippetOut(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to paste.

    `tag`: HTML for every page. `pixel`: HTML in its place, for pages without scripts; it reports visits only.
    `postback_url`: for ad networks. Put the project's secret in the place of PROJECT_SECRET, and the
    network's own macros in the place of those in braces. `content_security_policy`: what a page's policy must
    allow besides, if it has one.
    """

    edge_url: str
    tag: str
    pixel: str
    postback_url: str
    content_security_policy: str


@get("/projects/{project_id:str}/snippet", opt={"scope": "projects:read"})
async def get_snippet(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[SnippetOut]:
    """Get what to paste into a project's pages, and the postback URL for its ad networks."""
    domain = accept(decode_parameters(request.query_params, SnippetQueryIn)).domain
    project_id, tenant_id = read_id(request, "project_id", ProjectNotFound()), tenant_of(actor)
    async with services.snapshot(tenant_id) as db:
        await projects.fetch_project(db, tenant_id, project_id)
        chosen = await links.choose_domain(db, tenant_id, domain or None if domain is not UNSET else UNSET)
    snippet = build_snippet(project_id, build_base_url(chosen, services.settings.edge_url))
    return wrap(request, SnippetOut(**msgspec.structs.asdict(snippet)))
