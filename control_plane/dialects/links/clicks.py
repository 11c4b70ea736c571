"""Clicks of a link, page by page."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import EPOCH, id_time
from control_plane.core.page import PageRequest
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.links.page import PageNumber, PerPage
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.clicks import service
from control_plane.domains.clicks.model import EVER, FAR_FUTURE, Span

if TYPE_CHECKING:
    from control_plane.domains.clicks.model import Click

MILLISECOND: Final = timedelta(milliseconds=1)
"""The precision of a click's moment."""

DAY: Final = timedelta(days=1)
_BARE_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
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
    span, faults = read_span(query.value)
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


def read_span(query: ClickListQueryIn) -> tuple[Span, list[Fault]]:
    """Read start_date and end_date, both inclusive, to the millisecond: (span, faults)."""
    faults: list[Fault] = []
    start = EPOCH if query.start_date is UNSET else read_moment("start_date", query.start_date, faults)
    end = FAR_FUTURE if query.end_date is UNSET else read_moment("end_date", query.end_date, faults)
    if start is None or end is None:
        return EVER, faults
    if isinstance(query.end_date, str) and _BARE_DATE.fullmatch(query.end_date) and end < FAR_FUTURE:
        end += DAY - MILLISECOND
    if UNSET not in {query.start_date, query.end_date} and start > end:
        faults.append(Fault("start_date", f"must not be after end_date {query.end_date}", query.start_date))
    first = min(FAR_FUTURE, max(EPOCH, start + (EPOCH - start) % MILLISECOND))
    until = min(FAR_FUTURE, end) if end >= FAR_FUTURE else end - (end - EPOCH) % MILLISECOND + MILLISECOND
    return Span(first, max(first, until)), faults


def read_moment(field: str, text: str, faults: list[Fault]) -> datetime | None:
    """Read an ISO 8601 date or date-time as UTC; what is neither becomes a fault."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(Fault(field, "must be an ISO 8601 date or date-time", text))
        return None


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
