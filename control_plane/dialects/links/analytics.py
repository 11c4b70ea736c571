"""What a link's clicks come to: totals, by time, by what is known of visitors, as a funnel."""

# ruff: noqa: TC001, TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET

from control_plane.dialects.analytics_shapes import (
    BreakdownOut,
    FunnelOut,
    LinkAnalyticsOut,
    LinkBreakdownQueryIn,
    RangeQueryIn,
    SeriesOut,
    SeriesQueryIn,
    read_query,
    show_breakdown,
    show_funnel,
    show_link_analytics,
    show_series,
)
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.analytics import service
from control_plane.domains.analytics.model import Topic
from control_plane.domains.links import service as links
from control_plane.domains.traffic.model import SubjectKind

if TYPE_CHECKING:
    from control_plane.db.pool import Connection

SCOPE: Final = {"scope": "clicks:read"}
ERRORS: Final = (401, 403, 404, 422, 429)


@get(
    "/{id:str}/analytics",
    operation_id="getLinkAnalytics",
    opt=SCOPE,
    operation_class=describe(errors=ERRORS, limited=True, parameters=RangeQueryIn),
    summary="Get totals of a link",
)
async def get_analytics(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> LinkAnalyticsOut:
    """Get a link's clicks, conversions and revenue in a stretch of time, in all and by variant."""
    _query, span = read_query(request.query_params, RangeQueryIn, services.clock())
    async with services.snapshot(account.tenant_id) as db:
        topic = await find_topic(db, account, link_id)
        figures, variants = await service.sum_up_link(db, topic, span)
    return show_link_analytics(figures, variants, topic, span)


@get(
    "/{id:str}/analytics/series",
    operation_id="getLinkSeries",
    opt=SCOPE,
    operation_class=describe(errors=ERRORS, limited=True, parameters=SeriesQueryIn),
    summary="Get totals of a link over time",
)
async def get_series(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> SeriesOut:
    """Get a link's totals by hour, day, week or month of a time zone, empty ones too."""
    query, span = read_query(request.query_params, SeriesQueryIn, services.clock())
    assert query.interval is not UNSET
    async with services.snapshot(account.tenant_id) as db:
        topic = await find_topic(db, account, link_id)
        buckets = await service.list_buckets(db, topic, span, query.interval)
    return show_series(buckets, topic, query.interval, span)


@get(
    "/{id:str}/analytics/breakdown",
    operation_id="getLinkBreakdown",
    opt=SCOPE,
    operation_class=describe(errors=ERRORS, limited=True, parameters=LinkBreakdownQueryIn),
    summary="Break down the traffic of a link",
)
async def get_breakdown(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> BreakdownOut:
    """Get a link's traffic by country, device, browser, system, referrer, UTM parameter or variant."""
    query, span = read_query(request.query_params, LinkBreakdownQueryIn, services.clock())
    assert query.by is not UNSET
    assert query.limit is not UNSET
    assert query.sort is not UNSET
    async with services.snapshot(account.tenant_id) as db:
        topic = await find_topic(db, account, link_id)
        breakdown = await service.break_down(db, topic, span, query.by, sort=query.sort, limit=query.limit)
    return show_breakdown(breakdown, topic, query.by, query.sort, span)


@get(
    "/{id:str}/analytics/funnel",
    operation_id="getLinkFunnel",
    opt=SCOPE,
    operation_class=describe(errors=ERRORS, limited=True, parameters=RangeQueryIn),
    summary="Get the funnel of a link",
)
async def get_funnel(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> FunnelOut:
    """Get how many clicks of a link led on to checkouts and sales."""
    _query, span = read_query(request.query_params, RangeQueryIn, services.clock())
    async with services.snapshot(account.tenant_id) as db:
        topic = await find_topic(db, account, link_id)
        steps = await service.build_funnel(db, topic, span)
    return show_funnel(steps, span)


async def find_topic(db: Connection, account: Account, link_id: uuid.UUID) -> Topic:
    """Give a link of the account as what sums are about. Raises LinkNotFound."""
    link = await links.fetch_link(db, account, link_id)
    return Topic(tenant_id=link.tenant_id, kind=SubjectKind.LINK, id=link.id)
