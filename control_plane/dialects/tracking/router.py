"""The tracking contract: /v1/projects, visits, clicks, checkouts, sales, refunds, upsells, blog."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor, require_session
from control_plane.dialects.services import provide_services
from control_plane.dialects.tracking import (
    analytics,
    blog,
    clicks,
    conversion_writes,
    conversions,
    erasures,
    explain,
    project_changes,
    projects,
    snippet,
    visits,
)
from control_plane.dialects.tracking.auth import require_key
from control_plane.dialects.tracking.errors import answer_domain_error

PREFIX: Final = "/v1"


def build_router() -> Router:
    """Build the dialect's routes. Each names what a key needs: `opt["scope"]`."""
    with_key = Router(
        "/",
        route_handlers=[
            projects.list_projects,
            projects.get_project,
            project_changes.create_project,
            project_changes.change_project,
            project_changes.rotate_secret,
            snippet.get_snippet,
            analytics.get_analytics,
            analytics.get_series,
            analytics.get_breakdown,
            analytics.get_funnel,
            analytics.list_campaigns,
            visits.list_visits,
            visits.get_visit,
            clicks.list_clicks,
            clicks.get_click,
            explain.explain_click,
            conversions.list_checkouts,
            conversions.get_checkout,
            conversions.list_sales,
            conversions.get_sale,
            conversions.list_refunds,
            conversions.get_refund,
            conversions.list_upsells,
            conversions.get_upsell,
            conversion_writes.report_checkouts,
            conversion_writes.report_sales,
            conversion_writes.report_refunds,
            conversion_writes.report_upsells,
            erasures.request_erasure,
            erasures.list_erasures,
            erasures.get_erasure,
            blog.create_article,
            blog.list_articles,
        ],
        guards=[require_key],
        dependencies={"actor": Provide(provide_actor)},
    )
    with_session = Router(
        "/",
        route_handlers=[blog.approve, blog.disapprove],
        guards=[require_session],
        dependencies={"actor": Provide(provide_actor)},
    )
    return Router(
        PREFIX,
        route_handlers=[with_key, with_session],
        dependencies={"services": Provide(provide_services)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
