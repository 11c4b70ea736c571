"""Links and their variants, and what a caller asks to be made of them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

GEO_DEFAULT: Final = "default"
"""The geo rule for every country without one of its own."""

RoutingType: TypeAlias = Literal["ab_test", "geo"]
Stickiness: TypeAlias = Literal["cookie", "fingerprint", "none"]

LinkName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]
Slug: TypeAlias = Annotated[str, Meta(min_length=3, max_length=32, pattern="^[a-zA-Z0-9_-]+$")]
DomainName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=50)]
DestinationUrl: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2048)]
Weight: TypeAlias = Annotated[int, Meta(ge=0, le=100)]
WinnerThreshold: TypeAlias = Annotated[int, Meta(ge=10, le=2**31 - 1)]
WinnerGoal: TypeAlias = Literal["conversion_rate", "revenue_per_visitor"]
LagHours: TypeAlias = Annotated[int, Meta(ge=0, le=720)]
GeoRules: TypeAlias = Annotated[dict[str, str], Meta(max_length=250)]
"""ISO 3166-1 alpha-2 code, or "default" -> variant label. 249 countries and the default."""


class Variant(msgspec.Struct, frozen=True):
    """One destination of a link, as stored. `weight`: percent of the traffic."""

    id: uuid.UUID
    label: str
    destination_url: str
    weight: int
    is_winner: bool
    created_at: datetime


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link as stored, with its present variants in their order.

    `domain`: the custom domain that it belongs to; "" for the service's own names. `project_id`: what its
    clicks count for as well.
    """

    tenant_id: uuid.UUID
    id: uuid.UUID
    user_id: uuid.UUID
    domain: str
    slug: str
    name: str
    is_active: bool
    auto_winner: bool
    auto_winner_threshold: int
    auto_winner_goal: WinnerGoal
    auto_winner_lag_hours: int
    routing_type: RoutingType
    geo_rules: dict[str, str] | None
    stickiness: Stickiness
    forward_query: bool
    project_id: uuid.UUID | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    variants: list[Variant]


class LinkSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A link in a list, with its totals. `top_variant`: label with the most conversions, then clicks."""

    id: uuid.UUID
    domain: str
    slug: str
    name: str
    is_active: bool
    routing_type: RoutingType
    project_id: uuid.UUID | None
    created_at: datetime
    total_clicks: int
    total_conversions: int
    top_variant: str | None


class VariantContent(msgspec.Struct, frozen=True):
    """What a caller decides about a variant."""

    label: Label
    destination_url: DestinationUrl
    weight: Weight


class LinkContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a caller decides about a link, complete and checked against every rule (rules.py).

    Fields that came later have a default and are left out of fingerprints while they are that.
    """

    name: LinkName
    is_active: bool
    variants: Annotated[list[VariantContent], Meta(min_length=2, max_length=5)]
    auto_winner: bool
    auto_winner_threshold: WinnerThreshold
    auto_winner_goal: WinnerGoal = "conversion_rate"
    auto_winner_lag_hours: LagHours = 24
    routing_type: RoutingType
    geo_rules: GeoRules | None
    stickiness: Stickiness
    forward_query: bool
    project_id: uuid.UUID | None = None


class NewLink(msgspec.Struct, frozen=True):
    """A link to make, checked (rules.settle_content). `slug`: None to have one drawn.

    `domain`: None for the service's own names; UNSET for what the tenant's links have by default. Left
    out of fingerprints then, which so are what they were before there were domains.
    """

    slug: str | None
    content: LinkContent
    domain: str | UnsetType | None = UNSET


class VariantDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as asked for. None: as it is now. UNSET: refused before it got here."""

    label: str | UnsetType
    destination_url: str | UnsetType | None
    weight: int | UnsetType | None


class LinkDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A link as asked for, or changes to one. UNSET: not given, or refused before it got here."""

    name: str | UnsetType = UNSET
    slug: str | UnsetType | None = UNSET
    domain: str | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    variants: list[VariantDraft] | UnsetType = UNSET
    auto_winner: bool | UnsetType = UNSET
    auto_winner_threshold: int | UnsetType = UNSET
    auto_winner_goal: WinnerGoal | UnsetType = UNSET
    auto_winner_lag_hours: int | UnsetType = UNSET
    routing_type: RoutingType | UnsetType = UNSET
    geo_rules: dict[str, str] | UnsetType | None = UNSET
    stickiness: Stickiness | UnsetType = UNSET
    forward_query: bool | UnsetType = UNSET
    project_id: uuid.UUID | UnsetType | None = UNSET
