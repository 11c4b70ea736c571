"""What the traffic of a project, or of one of its campaigns, comes to.

A key needs `projects:read` and the scopes of everything that is summed up: whoever may not read sales one by
one learns nothing of them from sums either.
"""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET

from control_plane.core.actor import Actor
from control_plane.core.decoding import decode_parameters
from control_plane.dialects.analytics_shapes import (
    AnalyticsOut,
    BreakdownOut,
    CampaignOut,
    FunnelOut,
    RangeOut,
    RangeQueryIn,
    SeriesOut,
    SeriesQueryIn,
    SiteBreakdownQueryIn,
    read_query,
    show_analytics,
    show_breakdown,
    show_campaign,
    show_funnel,
    show_range,
    show_series,
)
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.page import PageQueryIn, Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.analytics import service
from control_plane.domains.analytics.errors import CampaignNotFound
from control_plane.domains.analytics.model import Topic
from control_plane.domains.projects import service as projects
from control_plane.domains.projects.errors import ProjectNotFound
from control_plane.domains.traffic.model import SubjectKind

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Connection

CAMPAIGNS: Final = "/projects/{project_id:str}/campaigns"
TOPICS: Final = ("/projects/{project_id:str}", f"{CAMPAIGNS}/{{campaign_id:str}}")
SCOPES: Final = {
    "scope": ("projects:read", "visits:read", "clicks:read", "conversions:read", "sales:read"),
}


class CampaignListOut(ListOut[CampaignOut], frozen=True, kw_only=True):
    """One page of campaigns, and the stretch of time that their figures are of."""

    range: RangeOut


@get([f"{topic}/analytics" for topic in TOPICS], opt=SCOPES)
async def get_analytics(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[AnalyticsOut]:
    """Get visits, clicks, conversions and revenue of a project or campaign in a stretch of time.

    Needs the scopes projects:read, visits:read, clicks:read, conversions:read and sales:read.
    """
    _query, span = read_query(request.query_params, RangeQueryIn, services.clock())
    async with services.snapshot(tenant_of(actor)) as db:
        topic = await find_topic(request, db, tenant_of(actor))
        figures = await service.sum_up(db, topic, span)
    return wrap(request, show_analytics(figures, topic, span))


@get([f"{topic}/analytics/series" for topic in TOPICS], opt=SCOPES)
async def get_series(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[SeriesOut]:
    """Get totals of a project or campaign by hour, day, week or month of a time zone, empty ones too.

    Needs the same scopes as the totals.
    """
    query, span = read_query(request.query_params, SeriesQueryIn, services.clock())
    assert query.interval is not UNSET
    async with services.snapshot(tenant_of(actor)) as db:
        topic = await find_topic(request, db, tenant_of(actor))
        buckets = await service.list_buckets(db, topic, span, query.interval)
    return wrap(request, show_series(buckets, topic, query.interval, span))


@get([f"{topic}/analytics/breakdown" for topic in TOPICS], opt=SCOPES)
async def get_breakdown(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[BreakdownOut]:
    """Get traffic of a project or campaign by country, device, browser, system, referrer or UTM parameter.

    Needs the same scopes as the totals.
    """
    query, span = read_query(request.query_params, SiteBreakdownQueryIn, services.clock())
    assert query.by is not UNSET
    assert query.limit is not UNSET
    assert query.sort is not UNSET
    async with services.snapshot(tenant_of(actor)) as db:
        topic = await find_topic(request, db, tenant_of(actor))
        breakdown = await service.break_down(db, topic, span, query.by, sort=query.sort, limit=query.limit)
    return wrap(request, show_breakdown(breakdown, topic, query.by, query.sort, span))


@get([f"{topic}/analytics/funnel" for topic in TOPICS], opt=SCOPES)
async def get_funnel(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[FunnelOut]:
    """Get how visits of a project or campaign led on to clicks, checkouts and sales.

    Needs the same scopes as the totals.
    """
    _query, span = read_query(request.query_params, RangeQueryIn, services.clock())
    async with services.snapshot(tenant_of(actor)) as db:
        topic = await find_topic(request, db, tenant_of(actor))
        steps = await service.build_funnel(db, topic, span)
    return wrap(request, show_funnel(steps, span))


@get(CAMPAIGNS, opt=SCOPES)
async def list_campaigns(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> CampaignListOut:
    """List the campaigns of a project by name, with their totals in a stretch of time.

    Needs the same scopes as the totals.
    """
    paged = decode_parameters(request.query_params, PageQueryIn)
    _query, span = read_query(request.query_params, RangeQueryIn, services.clock(), faults=paged.faults)
    project_id, tenant_id = read_id(request, "project_id", ProjectNotFound()), tenant_of(actor)
    paging = Paging("campaigns", tenant_id, project_id)
    asked = paging.read(paged.value)
    async with services.snapshot(tenant_id) as db:
        await projects.fetch_project(db, tenant_id, project_id)
        stretch = await service.list_campaigns(db, tenant_id, project_id, span, asked)
    page = wrap_list(request, [show_campaign(campaign) for campaign in stretch.items], paging.show(stretch))
    return CampaignListOut(
        data=page.data, pagination=page.pagination, range=show_range(span), request_id=page.request_id
    )


async def find_topic(request: Request[Any, Any, Any], db: Connection, tenant_id: uuid.UUID) -> Topic:
    """Give the project or campaign that the path names. Raises ProjectNotFound, CampaignNotFound."""
    project_id = read_id(request, "project_id", ProjectNotFound())
    await projects.fetch_project(db, tenant_id, project_id)
    if "campaign_id" in request.path_params:
        campaign_id = read_id(request, "campaign_id", CampaignNotFound())
        return await service.find_campaign(db, tenant_id, project_id, campaign_id)
    return Topic(tenant_id=tenant_id, kind=SubjectKind.PROJECT, id=project_id, project_id=project_id)
