"""Clicks of a link, page by page."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.ids import id_time
from control_plane.core.page import PageRequest
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.links.page import PageNumber, PerPage
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.spans import read_span
from control_plane.domains.accounts.model import Account
from control_plane.domains.clicks import service

if TYPE_CHECKING:
    from control_plane.domains.clicks.model import Click

_DATE_FORMAT: Final = {"format": "date-time"}


class ClickListQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which clicks, and which page of them. Moments without an offset are UTC."""

    page: PageNumber | UnsetType = 1
    per_page: PerPage | UnsetType = 50
    start_date: (
        Annotated[
            str,
            Meta(
                description="Filter clicks from this date (ISO 8601 format)",
                extra_json_schema=_DATE_FORMAT,
            ),
        ]
        | UnsetType
    ) = UNSET
    end_date: (
        Annotated[
            str,
            Meta(
                description="Filter clicks until this date (ISO 8601 format); "
                "a date without a time includes that whole day",
                extra_json_schema=_DATE_FORMAT,
            ),
        ]
        | UnsetType
    ) = UNSET


class ClickOut(msgspec.Struct, frozen=True, kw_only=True):
    """One click."""

    id: uuid.UUID
    link_id: uuid.UUID
    variant_id: uuid.UUID
    ip_address: Annotated[str, Meta(description="Empty when addresses are not stored")]
    user_agent: str
    referrer: str | None
    country: str | None
    is_conversion: bool
    is_bot: bool
    is_prefetch: bool
    created_at: Moment


class ClickListOut(msgspec.Struct, frozen=True, kw_only=True):
    """One page of clicks. `total`: clicks on all pages."""

    items: list[ClickOut]
    total: int
    page: int
    per_page: int


@get(
    "/{id:str}/clicks",
    operation_id="getLinkClicks",
    opt={"scope": "clicks:read"},
    operation_class=describe(errors=(401, 403, 404, 422, 429), limited=True, parameters=ClickListQueryIn),
    summary="Get click data",
)
async def list_clicks(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> ClickListOut:
    """List a link's clicks, newest first, optionally between two dates."""
    query = decode_parameters(request.query_params, ClickListQueryIn)
    span, faults = read_span(query.value.start_date, query.value.end_date, ("start_date", "end_date"))
    if faults := [*query.faults, *faults]:
        raise Invalid(faults)
    assert query.value.page is not UNSET
    assert query.value.per_page is not UNSET
    async with services.snapshot(account.tenant_id) as db:
        page = await service.list_clicks(
            db, account, link_id, span, PageRequest(query.value.page, query.value.per_page)
        )
    items = [show_click(click) for click in page.items]
    return ClickListOut(items=items, total=page.total, page=page.page, per_page=page.per_page)


def show_click(click: Click) -> ClickOut:
    """Shape a click as this contract does."""
    return ClickOut(
        id=click.id,
        link_id=click.link_id,
        variant_id=click.variant_id,
        ip_address=click.ip_address or "",
        user_agent=click.user_agent or "",
        referrer=click.referrer or None,
        country=click.country or None,
        is_conversion=click.is_conversion,
        is_bot=click.is_bot,
        is_prefetch=click.is_prefetch,
        created_at=id_time(click.id),
    )
