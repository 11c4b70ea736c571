"""How a tenant shows itself: read and replace."""

# ruff: noqa: TC001, TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated

import msgspec
from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import Decoded, accept
from control_plane.core.email_addresses import LONGEST
from control_plane.core.web_addresses import LONGEST_HOST
from control_plane.dialects.body import JsonBody
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.tenants import service
from control_plane.domains.tenants.model import Branding

Url = Annotated[str, Meta(max_length=2048)]
Color = Annotated[str, Meta(max_length=9)]
Address = Annotated[str, Meta(max_length=LONGEST)]
HostPattern = Annotated[str, Meta(max_length=LONGEST_HOST + 2)]


class BrandingIn(msgspec.Struct, frozen=True, kw_only=True):
    """All of a tenant's branding: what is left out, or null, is taken away."""

    display_name: Line | None = None
    logo_url: Url | None = None
    logo_dark_url: Url | None = None
    favicon_url: Url | None = None
    og_image_url: Url | None = None
    primary_color: Color | None = None
    secondary_color: Color | None = None
    accent_color: Color | None = None
    background_color: Color | None = None
    font_family: Line | None = None
    email_from_name: Line | None = None
    email_from_address: Address | None = None
    email_reply_to: Address | None = None
    email_footer_html: Annotated[str, Meta(max_length=10_000)] | None = None
    support_url: Url | None = None
    terms_url: Url | None = None
    privacy_url: Url | None = None
    embed_enabled: bool = False
    embed_allowed_hosts: Annotated[list[HostPattern], Meta(max_length=50)] = []
    watermark_text: Line | None = None
    watermark_image_url: Url | None = None
    watermark_enabled: bool = False


class BrandingOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's branding; what was not chosen is left out."""

    display_name: str | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    logo_dark_url: str | UnsetType = UNSET
    favicon_url: str | UnsetType = UNSET
    og_image_url: str | UnsetType = UNSET
    primary_color: str | UnsetType = UNSET
    secondary_color: str | UnsetType = UNSET
    accent_color: str | UnsetType = UNSET
    background_color: str | UnsetType = UNSET
    font_family: str | UnsetType = UNSET
    email_from_name: str | UnsetType = UNSET
    email_from_address: str | UnsetType = UNSET
    email_reply_to: str | UnsetType = UNSET
    email_footer_html: str | UnsetType = UNSET
    support_url: str | UnsetType = UNSET
    terms_url: str | UnsetType = UNSET
    privacy_url: str | UnsetType = UNSET
    embed_enabled: bool
    embed_allowed_hosts: list[str]
    watermark_text: str | UnsetType = UNSET
    watermark_image_url: str | UnsetType = UNSET
    watermark_enabled: bool


def show_branding(branding: Branding) -> BrandingOut:
    """Shape branding."""
    chosen = {name: value for name, value in msgspec.structs.asdict(branding).items() if value is not None}
    return BrandingOut(**(chosen | {"embed_allowed_hosts": list(branding.embed_allowed_hosts)}))


@get("/tenants/{tenant_id:str}/branding")
async def get_branding(
    services: NamedDependency[Services], of_tenant: NamedDependency[uuid.UUID]
) -> BrandingOut:
    """Get a tenant's branding. For its users."""
    async with services.snapshot(of_tenant) as db:
        return show_branding(await service.fetch_branding(db, of_tenant))


@put("/tenants/{tenant_id:str}/branding", dto=JsonBody[BrandingIn], return_dto=None)
async def replace_branding(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[BrandingIn]],
) -> BrandingOut:
    """Replace all of a tenant's branding. For its admins.

    Answers it as it is stored: hosts and addresses normalised, and of the footer's HTML only what is
    harmless.
    """
    actor.require_role(Role.ADMIN)
    fields = msgspec.structs.asdict(accept(data))
    branding = Branding(**(fields | {"embed_allowed_hosts": tuple(fields["embed_allowed_hosts"])}))
    async with services.transaction(of_tenant) as db:
        return show_branding(await service.replace_branding(db, actor, of_tenant, branding, services.clock()))
