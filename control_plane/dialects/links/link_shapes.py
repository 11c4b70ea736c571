"""Links as the contract shapes them: what comes in, what goes out, and the way to the domain's own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from control_plane.dialects.links.page import PageNumber, PerPage
from control_plane.dialects.schemas import Moment
from control_plane.domains.links.model import (
    DestinationUrl,
    DomainName,
    GeoRules,
    Label,
    LagHours,
    LinkDraft,
    LinkName,
    RoutingType,
    Slug,
    Stickiness,
    VariantDraft,
    Weight,
    WinnerGoal,
    WinnerThreshold,
)
from control_plane.domains.links.short_urls import build_short_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.domains.links.model import Link, LinkSummary


ProjectId: TypeAlias = Annotated[
    uuid.UUID, Meta(description="Project of the tenant that the link's clicks count for; null for none")
]


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
    """A new link. An explicit null counts as absent, but for the domain."""

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
    domain: (
        Annotated[
            DomainName,
            Meta(
                description="A verified custom domain of the tenant. Absent: the one verified first, if "
                "there is any. null: the service's own."
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
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
    auto_winner_goal: (
        Annotated[WinnerGoal, Meta(description="What variants are compared by")] | UnsetType | None
    ) = "conversion_rate"
    auto_winner_lag_hours: (
        Annotated[
            LagHours,
            Meta(
                description="How long after its click a sale counts for the winner, and how old a click "
                "must be to count; 0: sales count whenever they come"
            ),
        ]
        | UnsetType
        | None
    ) = 24
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
    project_id: ProjectId | UnsetType | None = None


class VariantPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a link that is changed: matched by label, with what it leaves out as it was."""

    label: Label | UnsetType
    destination_url: DestinationUrl | UnsetType | None = None
    weight: Weight | UnsetType | None = None


class LinkPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a link. What is absent stays as it is; null removes geo_rules and project_id."""

    name: LinkName | UnsetType = UNSET
    slug: Annotated[str, Meta(description="Refused: a slug never changes")] | UnsetType = UNSET
    domain: Annotated[str, Meta(description="Refused: a link never moves")] | UnsetType | None = UNSET
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
    auto_winner_goal: WinnerGoal | UnsetType = UNSET
    auto_winner_lag_hours: LagHours | UnsetType = UNSET
    routing_type: RoutingType | UnsetType = UNSET
    geo_rules: GeoRules | UnsetType | None = UNSET
    stickiness: Stickiness | UnsetType = UNSET
    forward_query: bool | UnsetType = UNSET
    project_id: ProjectId | UnsetType | None = UNSET


CustomDomain: TypeAlias = Annotated[
    str, Meta(description="Custom domain that the link belongs to; null for the service's own")
]
ShortUrl: TypeAlias = Annotated[
    str, Meta(description="Where visitors find the link", extra_json_schema={"format": "uri"})
]


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
    auto_winner_goal: WinnerGoal
    auto_winner_lag_hours: int
    routing_type: RoutingType
    geo_rules: dict[str, str] | None = None
    stickiness: Stickiness
    forward_query: bool
    created_at: Moment
    updated_at: Moment
    variants: list[VariantOut]
    domain: CustomDomain | None = None
    short_url: ShortUrl
    project_id: ProjectId | None = None


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
    domain: CustomDomain | None = None
    short_url: ShortUrl
    project_id: ProjectId | None = None


class LinkListOut(msgspec.Struct, frozen=True, kw_only=True):
    """One page of links. `total`: links on all pages."""

    items: list[LinkListItemOut]
    total: Annotated[int, Meta(description="Total number of links")]


class LinkListQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of links."""

    page: PageNumber | UnsetType = 1
    per_page: PerPage | UnsetType = 20


def draft_link(wanted: LinkCreateIn) -> LinkDraft:
    """Build the draft of a new link: what is null or absent takes its default."""
    defaults = LinkCreateIn(name=UNSET, variants=UNSET)
    fields = {
        name: getattr(defaults, name) if value is None else value
        for name, value in msgspec.structs.asdict(wanted).items()
    }
    fields |= {"is_active": True, "variants": draft_variants(wanted.variants), "domain": wanted.domain}
    return LinkDraft(**fields)


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


def show_link(link: Link, edge_url: str) -> LinkOut:
    """Shape a link as this contract does. `edge_url`: where the service's own links are found."""
    return LinkOut(
        id=link.id,
        user_id=link.user_id,
        slug=link.slug,
        name=link.name,
        is_active=link.is_active,
        auto_winner=link.auto_winner,
        auto_winner_threshold=link.auto_winner_threshold,
        auto_winner_goal=link.auto_winner_goal,
        auto_winner_lag_hours=link.auto_winner_lag_hours,
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
        domain=link.domain or None,
        short_url=build_short_url(link.domain, link.slug, edge_url),
        project_id=link.project_id,
    )


def show_summary(link: LinkSummary, edge_url: str) -> LinkListItemOut:
    """Shape a link in a list as this contract does. `edge_url`: see `show_link`."""
    short_url = build_short_url(link.domain, link.slug, edge_url)
    facts = msgspec.structs.asdict(link) | {"domain": link.domain or None, "short_url": short_url}
    return LinkListItemOut(**facts)
