"""The links contract: everything under /api/v1/public."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Router, get
from litestar.di import Provide
from litestar.enums import OpenAPIMediaType

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor
from control_plane.dialects.links import analytics, clicks, experiments, explain, keys, links
from control_plane.dialects.links.auth import provide_account, require_api_key, require_token
from control_plane.dialects.links.errors import answer_domain_error
from control_plane.dialects.services import provide_services

PREFIX: Final = "/api/v1/public"


@get("/health", include_in_schema=False)
async def health() -> dict[str, str]:
    """Tell that the process serves requests; it asks no other server."""
    return {"status": "ok"}


@get("/openapi.json", include_in_schema=False, media_type=OpenAPIMediaType.OPENAPI_JSON)
async def document(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Give the OpenAPI document."""
    return request.app.openapi_schema.to_schema()


def build_router() -> Router:
    """Build the dialect's routes."""
    link_routes = Router(
        "/links",
        route_handlers=[
            links.create_link,
            links.list_links,
            links.get_link,
            links.change_link,
            links.delete_link,
            clicks.list_clicks,
            analytics.get_analytics,
            analytics.get_series,
            analytics.get_breakdown,
            analytics.get_funnel,
            explain.explain_link,
            experiments.get_experiment,
            experiments.list_decisions,
            experiments.declare_winner,
            experiments.revert_winner,
        ],
        guards=[require_api_key],
        dependencies={"link_id": Provide(links.provide_link_id), "actor": Provide(provide_actor)},
        security=[{"ApiKeyAuth": []}],
        tags=["Links"],
    )
    key_routes = Router(
        "/keys",
        route_handlers=[keys.create_key, keys.list_keys, keys.get_limit_status, keys.revoke_key],
        guards=[require_token],
        dependencies={"actor": Provide(provide_actor)},
        security=[{"BearerAuth": []}],
        tags=["API Keys"],
    )
    return Router(
        PREFIX,
        route_handlers=[health, document, link_routes, key_routes],
        dependencies={"services": Provide(provide_services), "account": Provide(provide_account)},
        exception_handlers={DomainError: answer_domain_error},
    )
