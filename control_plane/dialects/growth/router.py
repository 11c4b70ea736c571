"""The growth contract: everything under /api/v1 but /api/v1/public."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor, provide_device, require_session
from control_plane.dialects.growth import auth, mfa, tenants, users
from control_plane.dialects.growth.errors import answer_domain_error
from control_plane.dialects.growth.paths import provide_tenant_id
from control_plane.dialects.services import provide_services

PREFIX: Final = "/api/v1"


def build_router() -> Router:
    """Build the dialect's routes. Whoever needs no session says so; the others need one."""
    anonymous = Router(
        "/", route_handlers=[auth.log_in, auth.register, auth.refresh_tokens, mfa.complete_challenge]
    )
    with_session = Router(
        "/",
        route_handlers=[
            auth.log_out,
            auth.get_me,
            mfa.enable_mfa,
            mfa.verify_mfa,
            mfa.disable_mfa,
            users.list_users,
            users.get_user,
            users.create_user,
            users.update_user,
            users.delete_user,
            tenants.list_tenants,
            tenants.get_tenant,
            tenants.create_tenant,
            tenants.update_tenant,
        ],
        guards=[require_session],
        dependencies={"actor": Provide(provide_actor), "of_tenant": Provide(provide_tenant_id)},
    )
    return Router(
        PREFIX,
        route_handlers=[anonymous, with_session],
        dependencies={"services": Provide(provide_services), "device": Provide(provide_device)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
