"""Links: create, list, read, change, delete."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import Decoded, decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.page import PageRequest
from control_plane.dialects.body import JsonBody
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.links.page import PageNumber, PerPage
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.links import service
from control_plane.domains.links.errors import LinkNotFound
from control_plane.domains.links.model import (
    DestinationUrl,
    GeoRules,
    Label,
    LinkDraft,
    LinkName,
    NewLink,
    RoutingType,
    Slug,
    Stickiness,
    VariantDraft,
    Weight,
    WinnerThreshold,
)
from control_plane.domains.links.rules import settle_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.domains.links.model import Link, LinkSummary

IDEMPOTENCY_KEY_LENGTH: Final = 255
IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    param_in="header",
    required=False,
    schema=Schema(
        type=OpenAPIType.STRING, min_length=1, max_length=IDEMPOTENCY_KEY_LENGTH, pattern="^[!-~]+$"
    ),
    description="Unique key to prevent duplicate link creation. The same key with the same body "
    "answers 200 with the link that was created; with another body, 422.",
)


class VariantCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a new link."""

    label: Annotated[Label, Meta(description="Unique identifier for this variant")] | UnsetType
    destination_url: (
        Annotated[
            DestinationUrl,
            Meta(
                description="URL where traffic for this variant should be sent. Macros such as "
                "{click_id} are filled after the host.",
                extra_json_schema={"format": "uri"},
            ),
        ]
        | UnsetType
    )
    weight: (
        Annotated[Weight, Meta(description="Percentage of traffic to send to this variant (0-100)")]
        | UnsetType
    )


class LinkCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A new link. An explicit null counts as absent."""

    name: Annotated[LinkName, Meta(description="Descriptive name for the link")] | UnsetType
    variants: (
        Annotated[
            list[VariantCreateIn],
            Meta(min_length=2, max_length=5, description="Traffic variants. Weights must sum to 100."),
        ]
        | UnsetType
    )
    slug: (
        Annotated[Slug, Meta(description="Custom short URL path. Auto-generated if not provided.")]
        | UnsetType
        | None
    ) = None
    auto_winner: (
        Annotated[bool, Meta(description="Enable automatic winner detection based on conversion rate")]
        | UnsetType
        | None
    ) = False
    auto_winner_threshold: (
        Annotated[WinnerThreshold, Meta(description="Minimum clicks before auto-winner can be declared")]
        | UnsetType
        | None
    ) = 100
    routing_type: Annotated[RoutingType, Meta(description="Traffic routing method")] | UnsetType | None = (
        "ab_test"
    )
    geo_rules: (
        Annotated[
            GeoRules,
            Meta(
                description="Country codes (ISO 3166-1 alpha-2) mapped to variant labels. Must include "
                "the 'default' key. Required when routing_type is 'geo'."
            ),
        ]
        | UnsetType
        | None
    ) = None
    stickiness: (
        Annotated[Stickiness, Meta(description="How a visitor stays on the variant seen first")]
        | UnsetType
        | None
    ) = "cookie"
    forward_query: (
        Annotated[bool, Meta(description="Add the visitor's query parameters to the destination")]
        | UnsetType
        | None
    ) = True


class VariantPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a link that is changed: matched by label, with what it leaves out as it was."""

    label: Label | UnsetType
    destination_url: DestinationUrl | UnsetType | None = None
    weight: Weight | UnsetType | None = None


class LinkPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a link. What is absent stays as it is; `geo_rules: null` removes the rules."""

    name: LinkName | UnsetType = UNSET
    slug: Annotated[str, Meta(description="Refused: a slug never changes")] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    variants: (
        Annotated[
            list[VariantPatchIn],
            Meta(min_length=2, max_length=5, description="The whole new list of variants"),
        ]
        | UnsetType
    ) = UNSET
    auto_winner: bool | UnsetType = UNSET
    auto_winner_threshold: WinnerThreshold | UnsetType = UNSET
    routing_type: RoutingType | UnsetType = UNSET
    geo_rules: GeoRules | UnsetType | None = UNSET
    stickiness: Stickiness | UnsetType = UNSET
    forward_query: bool | UnsetType = UNSET


class VariantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a link."""

    id: uuid.UUID
    link_id: uuid.UUID
    label: str
    destination_url: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    weight: int
    is_winner: bool
    created_at: Moment


class LinkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A link with its variants."""

    id: uuid.UUID
    user_id: uuid.UUID
    organization_id: uuid.UUID | None = None
    slug: str
    name: str
    is_active: bool
    auto_winner: bool
    auto_winner_threshold: int
    routing_type: RoutingType
    geo_rules: dict[str, str] | None = None
    stickiness: Stickiness
    forward_query: bool
    created_at: Moment
    updated_at: Moment
    variants: list[VariantOut]


class LinkListItemOut(msgspec.Struct, frozen=True, kw_only=True):
    """A link in a list, with its totals."""

    id: uuid.UUID
    slug: str
    name: str
    is_active: bool
    routing_type: RoutingType
    created_at: Moment
    total_clicks: int = 0
    total_conversions: int = 0
    top_variant: Annotated[str, Meta(description="Label with the most conversions, then clicks")] | None = (
        None
    )


class LinkListOut(msgspec.Struct, frozen=True, kw_only=True):
    """One page of links. `total`: links on all pages."""

    items: list[LinkListItemOut]
    total: Annotated[int, Meta(description="Total number of links")]


class LinkListQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of links."""

    page: PageNumber | UnsetType = 1
    per_page: PerPage | UnsetType = 20


@post(
    "/",
    dto=JsonBody[LinkCreateIn],
    return_dto=None,
    operation_id="createLink",
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
    """Create a smart link with two to five variants. Weights must sum to exactly 100."""
    idempotency_key, faults = read_idempotency_key(request)
    draft = draft_link(data.value)
    content = settle_content(draft, [*faults, *data.faults], services.settings.edge_url)
    assert draft.slug is not UNSET, "a refused slug is a fault"
    async with services.transaction() as db:
        link, is_new = await service.create_link(
            db,
            account,
            NewLink(draft.slug, content),
            now=services.clock(),
            idempotency_key=idempotency_key,
        )
    return Response(show_link(link), status_code=201 if is_new else 200)


@get(
    "/",
    operation_id="listLinks",
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
    async with services.snapshot() as db:
        page = await service.list_links(db, account, PageRequest(query.value.page, query.value.per_page))
    return LinkListOut(items=[show_summary(item) for item in page.items], total=page.total)


@get(
    "/{id:str}",
    operation_id="getLink",
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Get link details",
)
async def get_link(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> LinkOut:
    """Get a link with all its variants and their current status."""
    async with services.snapshot() as db:
        return show_link(await service.fetch_link(db, account, link_id))


@patch(
    "/{id:str}",
    dto=JsonBody[LinkPatchIn],
    return_dto=None,
    operation_id="updateLink",
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
    async with services.transaction() as db:
        link = await service.change_link(
            db,
            account,
            link_id,
            draft_changes(data.value),
            shape_faults=data.faults,
            edge_url=services.settings.edge_url,
            now=services.clock(),
        )
    return show_link(link)


@delete(
    "/{id:str}",
    operation_id="deleteLink",
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Delete link",
)
async def delete_link(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> None:
    """Delete a link. It stops redirecting; its clicks are kept, and its slug stays taken."""
    async with services.transaction() as db:
        await service.delete_link(db, account, link_id, services.clock())


async def provide_link_id(request: Request[Any, Any, Any]) -> uuid.UUID:
    """Read the link's id from the path. What is no UUID is no link."""
    try:
        return msgspec.convert(request.path_params["id"], uuid.UUID)
    except msgspec.ValidationError as error:
        raise LinkNotFound from error


def read_idempotency_key(request: Request[Any, Any, Any]) -> tuple[str | None, Sequence[Fault]]:
    """Read the Idempotency-Key header: (key or None, faults)."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None, ()
    if 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH and all("!" <= character <= "~" for character in key):
        return key, ()
    rule = f"must be 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters"
    return None, (Fault("Idempotency-Key", rule, key),)


def draft_link(wanted: LinkCreateIn) -> LinkDraft:
    """Build the draft of a new link: what is null or absent takes its default."""
    defaults = LinkCreateIn(name=UNSET, variants=UNSET)
    fields = {
        name: getattr(defaults, name) if value is None else value
        for name, value in msgspec.structs.asdict(wanted).items()
    }
    return LinkDraft(**(fields | {"is_active": True, "variants": draft_variants(wanted.variants)}))


def draft_changes(wanted: LinkPatchIn) -> LinkDraft:
    """Build the draft of a change."""
    return LinkDraft(**(msgspec.structs.asdict(wanted) | {"variants": draft_variants(wanted.variants)}))


def draft_variants(
    variants: Sequence[VariantCreateIn] | Sequence[VariantPatchIn] | UnsetType,
) -> list[VariantDraft] | UnsetType:
    """Build the drafts of variants; UNSET stays UNSET."""
    if variants is UNSET:
        return UNSET
    return [
        VariantDraft(label=variant.label, destination_url=variant.destination_url, weight=variant.weight)
        for variant in variants
    ]


def show_link(link: Link) -> LinkOut:
    """Shape a link as this contract does."""
    return LinkOut(
        id=link.id,
        user_id=link.user_id,
        slug=link.slug,
        name=link.name,
        is_active=link.is_active,
        auto_winner=link.auto_winner,
        auto_winner_threshold=link.auto_winner_threshold,
        routing_type=link.routing_type,
        geo_rules=link.geo_rules,
        stickiness=link.stickiness,
        forward_query=link.forward_query,
        created_at=link.created_at,
        updated_at=link.updated_at,
        variants=[
            VariantOut(
                id=variant.id,
                link_id=link.id,
                label=variant.label,
                destination_url=variant.destination_url,
                weight=variant.weight,
                is_winner=variant.is_winner,
                created_at=variant.created_at,
            )
            for variant in link.variants
        ],
    )


def show_summary(link: LinkSummary) -> LinkListItemOut:
    """Shape a link in a list as this contract does."""
    return LinkListItemOut(**msgspec.structs.asdict(link))
