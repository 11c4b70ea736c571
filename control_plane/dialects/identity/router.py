"""The identity contract: /v1/auth, /v1/users, /v1/tenants, /v1/api-keys."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor, provide_device, require_session
from control_plane.dialects.identity import audit, push, sessions
from control_plane.dialects.identity.errors import answer_domain_error
from control_plane.dialects.identity.paths import provide_tenant_id
from control_plane.dialects.services import provide_services

PREFIX: Final = "/v1"


def build_router() -> Router:
    """Build the dialect's routes. Whoever needs no session says so; the others need one."""
    anonymous = Router("/", route_handlers=[sessions.refresh_tokens])
    users = Router(
        "/",
        route_handlers=[
            sessions.logout,
            sessions.list_sessions,
            sessions.revoke_session,
            audit.list_audit,
            push.subscribe,
            push.unsubscribe,
            push.show_push_key,
        ],
        guards=[require_session],
        dependencies={"actor": Provide(provide_actor), "of_tenant": Provide(provide_tenant_id)},
    )
    return Router(
        PREFIX,
        route_handlers=[anonymous, users],
        dependencies={"services": Provide(provide_services), "device": Provide(provide_device)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
