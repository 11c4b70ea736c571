"""The tracking contract: /v1/projects, visits, clicks, checkouts, sales, refunds, upsells, blog."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor
from control_plane.dialects.services import provide_services
from control_plane.dialects.tracking import visits
from control_plane.dialects.tracking.auth import require_key
from control_plane.dialects.tracking.errors import answer_domain_error

PREFIX: Final = "/v1"


def build_router() -> Router:
    """Build the dialect's routes. Each names the scope that a key needs: `opt["scope"]`."""
    with_key = Router(
        "/",
        route_handlers=[visits.list_visits, visits.get_visit],
        guards=[require_key],
        dependencies={"actor": Provide(provide_actor)},
    )
    return Router(
        PREFIX,
        route_handlers=[with_key],
        dependencies={"services": Provide(provide_services)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
