"""Why a click went where it went."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from control_plane.core.actor import Actor
from control_plane.core.ids import id_time
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, wrap
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.clicks.errors import ClickNotFound
from control_plane.domains.explanations import service

if TYPE_CHECKING:
    from control_plane.domains.explanations.model import ClickExplanation, KeptRecord, KeptVariant


class VariantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as it was. `share`: of new visitors, 0 to 1; null where the country decided."""

    id: uuid.UUID
    label: str
    destination_url: str
    weight: int
    share: float | None


class ClickExplanationOut(msgspec.Struct, frozen=True, kw_only=True):
    """A click, and its link as it was then; what is not kept of that is null."""

    click_id: uuid.UUID
    link_id: uuid.UUID | None
    slug: str | None
    decided_by: str | None
    explanation: str
    link_version: int | None
    changed_at: Moment | None
    variant: VariantOut | None
    variants: list[VariantOut] | None
    country: str | None
    is_prefetch: bool
    is_bot: bool
    bot_reason: str | None
    verdict_version: int
    is_conversion: bool
    created_at: Moment


@get("/clicks/{click_id:str}/explain", opt={"scope": "clicks:read"})
async def explain_click(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[ClickExplanationOut]:
    """Say why a click went where it went, by the version of its link that served it."""
    click_id, tenant_id = read_id(request, "click_id", ClickNotFound()), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        found = await service.explain_click(db, tenant_id, click_id, actor.user_id)
    return wrap(request, show_explanation(found))


def show_explanation(found: ClickExplanation) -> ClickExplanationOut:
    """Shape an explanation as this contract does."""
    click, version = found.click, found.version
    variants = None
    if version is not None:
        variants = [show_variant(one, version.record) for one in version.record.variants]
    return ClickExplanationOut(
        click_id=click.id,
        link_id=click.link_id,
        slug=click.slug,
        decided_by=click.decided_by,
        explanation=found.text,
        link_version=click.link_version,
        changed_at=None if version is None else version.changed_at,
        variant=next((one for one in variants or () if one.id == click.variant_id), None),
        variants=variants,
        country=click.country or None,
        is_prefetch=click.is_prefetch,
        is_bot=click.is_bot,
        bot_reason=click.bot_reason,
        verdict_version=click.verdict_version,
        is_conversion=click.is_conversion,
        created_at=id_time(click.id),
    )


def show_variant(one: KeptVariant, record: KeptRecord) -> VariantOut:
    """Shape a variant, with the share of new visitors that it had by its link's rules."""
    share: float | None = one.weight / 100
    if record.winner is not None:
        share = float(one.id == record.winner)
    elif record.routing_type == "geo":
        share = None
    return VariantOut(id=one.id, label=one.label, destination_url=one.url, weight=one.weight, share=share)
