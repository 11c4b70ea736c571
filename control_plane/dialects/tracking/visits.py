"""Visits of pages."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.ids import id_time
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.countries import name_country
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.filters import ListQueryIn, Text, given, read_query
from control_plane.dialects.tracking.page import Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.visits import service
from control_plane.domains.visits.errors import VisitNotFound
from control_plane.domains.visits.model import VisitFilter

if TYPE_CHECKING:
    from control_plane.domains.visits.model import Visit


class VisitListQueryIn(ListQueryIn, frozen=True, kw_only=True):
    """Which visits. `country`: in capitals or not; the others match to the letter."""

    campaign: Text | UnsetType = UNSET
    ad_group: Text | UnsetType = UNSET
    keyword: Text | UnsetType = UNSET
    device: Text | UnsetType = UNSET
    country: Text | UnsetType = UNSET


class VisitOut(msgspec.Struct, frozen=True, kw_only=True):
    """One visit. `visitor_id`: the same for the same visitor on the same day (UTC). Added: `is_bot`."""

    id: uuid.UUID
    project_id: uuid.UUID
    visitor_id: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_content: str | None
    utm_term: str | None
    campaign: str | None
    ad_group: str | None
    keyword: str | None
    gclid: str | None
    device: str | None
    network: str | None
    country: str | None
    country_name: str | None
    landing_url: str
    referrer: str | None
    is_bot: bool
    created_at: Moment


@get("/visits", opt={"scope": "visits:read"})
async def list_visits(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[VisitOut]:
    """List visits, newest first: of a project, in a stretch of time, of a campaign, device or country."""
    query, span = read_query(request.query_params, VisitListQueryIn)
    country = given(query.country)
    wanted = VisitFilter(
        span=span,
        project_id=given(query.project_id),
        campaign=given(query.campaign),
        ad_group=given(query.ad_group),
        keyword=given(query.keyword),
        device=given(query.device),
        country=country.upper() if country else country,
    )
    tenant_id = tenant_of(actor)
    paging = Paging("visits", tenant_id, wanted)
    asked = paging.read(query)
    async with services.snapshot(tenant_id) as db:
        stretch = await service.list_visits(db, tenant_id, wanted, asked)
    return wrap_list(request, [show_visit(visit) for visit in stretch.items], paging.show(stretch))


@get("/visits/{visit_id:str}", opt={"scope": "visits:read"})
async def get_visit(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[VisitOut]:
    """Get a visit."""
    visit_id, tenant_id = read_id(request, "visit_id", VisitNotFound()), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        visit = await service.fetch_visit(db, tenant_id, visit_id)
    return wrap(request, show_visit(visit))


def show_visit(visit: Visit) -> VisitOut:
    """Shape a visit as this contract does. What was said to be nothing is null."""
    return VisitOut(
        id=visit.id,
        project_id=visit.project_id,
        visitor_id=show_visitor(visit.visitor_id),
        utm_source=visit.utm_source or None,
        utm_medium=visit.utm_medium or None,
        utm_campaign=visit.utm_campaign or None,
        utm_content=visit.utm_content or None,
        utm_term=visit.utm_term or None,
        campaign=visit.campaign or None,
        ad_group=visit.ad_group or None,
        keyword=visit.keyword or None,
        gclid=visit.gclid or None,
        device=visit.device or None,
        network=visit.network or None,
        country=visit.country or None,
        country_name=name_country(visit.country),
        landing_url=visit.landing_url,
        referrer=visit.referrer or None,
        is_bot=visit.is_bot,
        created_at=id_time(visit.id),
    )


def show_visitor(visitor_id: int | None) -> str | None:
    """Show a visitor's hash as 16 hex digits; in Postgres it is a signed number."""
    return None if visitor_id is None else f"{visitor_id & (2**64 - 1):016x}"
