"""Clicks of a tenant, on links and on elements of pages."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.ids import id_time, spellings_of
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.filters import ListQueryIn, Text, given, read_query
from control_plane.dialects.tracking.page import Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.clicks import listing
from control_plane.domains.clicks.errors import ClickNotFound
from control_plane.domains.clicks.listing import ClickFilter

if TYPE_CHECKING:
    from control_plane.domains.clicks.listing import TenantClick


class ClickListQueryIn(ListQueryIn, frozen=True, kw_only=True):
    """Which clicks. `visit_id`: those that a page reported during that visit."""

    visit_id: Text | UnsetType = UNSET


class ClickOut(msgspec.Struct, frozen=True, kw_only=True):
    """One click. Added: `link_id` and `variant_id` of a redirect, `is_bot` and `is_conversion`.

    `click_id`: what others call it by; the id where nobody calls it otherwise. A redirect has no element;
    its `target_url` is the destination of its variant as it is now, before macros and query parameters.
    """

    id: uuid.UUID
    project_id: uuid.UUID | None
    visit_id: str | None
    click_id: str
    target_url: str | None
    element_type: str | None
    element_text: str | None
    campaign: str | None
    ad_group: str | None
    keyword: str | None
    device: str | None
    country: str | None
    link_id: uuid.UUID | None
    variant_id: uuid.UUID | None
    is_bot: bool
    is_conversion: bool
    created_at: Moment


@get("/clicks", opt={"scope": "clicks:read"})
async def list_clicks(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[ClickOut]:
    """List clicks on links and on pages, newest first: of a project, a stretch of time, a visit."""
    query, span = read_query(request.query_params, ClickListQueryIn)
    tenant_id, visit_id = tenant_of(actor), given(query.visit_id)
    wanted = ClickFilter(
        span=span,
        project_id=given(query.project_id),
        visit_ids=None if visit_id is None else spellings_of(visit_id),
        user_id=actor.user_id,
    )
    paging = Paging("clicks", tenant_id, wanted)
    asked = paging.read(query)
    async with services.snapshot(tenant_id) as db:
        stretch = await listing.list_clicks(db, tenant_id, wanted, asked)
    return wrap_list(request, [show_click(click) for click in stretch.items], paging.show(stretch))


@get("/clicks/{click_id:str}", opt={"scope": "clicks:read"})
async def get_click(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[ClickOut]:
    """Get a click by its id."""
    click_id, tenant_id = read_id(request, "click_id", ClickNotFound()), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        click = await listing.fetch_click(db, tenant_id, click_id, actor.user_id)
    return wrap(request, show_click(click))


def show_click(click: TenantClick) -> ClickOut:
    """Shape a click as this contract does. What was said to be nothing is null."""
    return ClickOut(
        id=click.id,
        project_id=click.project_id,
        visit_id=click.visit_id or None,
        click_id=click.click_id,
        target_url=click.target_url or None,
        element_type=click.element_type or None,
        element_text=click.element_text or None,
        campaign=click.campaign or None,
        ad_group=click.ad_group or None,
        keyword=click.keyword or None,
        device=click.device or None,
        country=click.country or None,
        link_id=click.link_id,
        variant_id=click.variant_id,
        is_bot=click.is_bot,
        is_conversion=click.is_conversion,
        created_at=id_time(click.id),
    )
