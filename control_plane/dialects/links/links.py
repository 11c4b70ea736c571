"""Links: create, list, read, change, delete."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody
from msgspec import UNSET

from control_plane.core.decoding import Decoded, decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.page import PageRequest
from control_plane.dialects.body import JsonBody
from control_plane.dialects.idempotency_keys import HEADER, LONGEST, read_idempotency_key
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.links.link_shapes import (
    LinkCreateIn,
    LinkListOut,
    LinkListQueryIn,
    LinkOut,
    LinkPatchIn,
    draft_changes,
    draft_link,
    show_link,
    show_summary,
)
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.links import service
from control_plane.domains.links.errors import LinkNotFound
from control_plane.domains.links.model import NewLink
from control_plane.domains.links.rules import settle_content

IDEMPOTENCY_KEY: Final = Parameter(
    name=HEADER,
    param_in="header",
    required=False,
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=LONGEST, pattern="^[!-~]+$"),
    description="Unique key to prevent duplicate link creation. The same key with the same body "
    "answers 200 with the link that was created; with another body, 422.",
)


@post(
    "/",
    dto=JsonBody[LinkCreateIn],
    return_dto=None,
    operation_id="createLink",
    opt={"scope": "links:write"},
    operation_class=describe(
        errors=(401, 403, 409, 413, 415, 422, 429),
        limited=True,
        header=IDEMPOTENCY_KEY,
        repeated="Link already exists (idempotency key match)",
    ),
    summary="Create link",
    response_description="Link created successfully",
)
async def create_link(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    data: JSONBody[Decoded[LinkCreateIn]],
) -> Response[LinkOut]:
    """Create a smart link with two to five variants. Weights must sum to exactly 100.

    A slug is free or taken on each domain by itself.
    """
    idempotency_key, faults = read_idempotency_key(request)
    draft = draft_link(data.value)
    content = settle_content(draft, [*faults, *data.faults], services.settings.edge_url)
    assert draft.slug is not UNSET, "a refused slug is a fault"
    async with services.transaction(account.tenant_id) as db:
        link, is_new = await service.create_link(
            db,
            account,
            NewLink(draft.slug, content, draft.domain),
            now=services.clock(),
            idempotency_key=idempotency_key,
        )
    shown = show_link(link, services.settings.edge_url)
    return Response(shown, status_code=201 if is_new else 200)


@get(
    "/",
    operation_id="listLinks",
    opt={"scope": "links:read"},
    operation_class=describe(errors=(401, 403, 422, 429), limited=True, parameters=LinkListQueryIn),
    summary="List links",
)
async def list_links(
    request: Request[Any, Any, Any], services: NamedDependency[Services], account: NamedDependency[Account]
) -> LinkListOut:
    """List the user's links, newest first, with their total clicks and conversions."""
    query = decode_parameters(request.query_params, LinkListQueryIn)
    if query.faults:
        raise Invalid(query.faults)
    assert query.value.page is not UNSET
    assert query.value.per_page is not UNSET
    async with services.snapshot(account.tenant_id) as db:
        page = await service.list_links(db, account, PageRequest(query.value.page, query.value.per_page))
    edge_url = services.settings.edge_url
    return LinkListOut(items=[show_summary(item, edge_url) for item in page.items], total=page.total)


@get(
    "/{id:str}",
    operation_id="getLink",
    opt={"scope": "links:read"},
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Get link details",
)
async def get_link(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> LinkOut:
    """Get a link with all its variants and their current status."""
    async with services.snapshot(account.tenant_id) as db:
        link = await service.fetch_link(db, account, link_id)
    return show_link(link, services.settings.edge_url)


@patch(
    "/{id:str}",
    dto=JsonBody[LinkPatchIn],
    return_dto=None,
    operation_id="updateLink",
    opt={"scope": "links:write"},
    operation_class=describe(errors=(401, 403, 404, 413, 415, 422, 429), limited=True),
    summary="Change link",
)
async def change_link(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[LinkPatchIn]],
) -> LinkOut:
    """Change a link. A list of variants replaces the whole list; those of known label keep their id."""
    async with services.transaction(account.tenant_id) as db:
        link = await service.change_link(
            db,
            account,
            link_id,
            draft_changes(data.value),
            shape_faults=data.faults,
            edge_url=services.settings.edge_url,
            now=services.clock(),
        )
    return show_link(link, services.settings.edge_url)


@delete(
    "/{id:str}",
    operation_id="deleteLink",
    opt={"scope": "links:write"},
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Delete link",
)
async def delete_link(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> None:
    """Delete a link. It stops redirecting; its clicks are kept, and its slug stays taken."""
    async with services.transaction(account.tenant_id) as db:
        await service.delete_link(db, account, link_id, services.clock())


async def provide_link_id(request: Request[Any, Any, Any]) -> uuid.UUID:
    """Read the link's id from the path. What is no UUID is no link."""
    try:
        return msgspec.convert(request.path_params["id"], uuid.UUID)
    except msgspec.ValidationError as error:
        raise LinkNotFound from error
