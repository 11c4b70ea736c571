"""The identity contract: /v1/auth, /v1/users, /v1/tenants, /v1/api-keys."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import provide_actor, provide_device, require_session
from control_plane.dialects.identity import (
    audit,
    auth,
    branding,
    domains,
    federation,
    mfa,
    profile,
    sessions,
    tenants,
    users,
)
from control_plane.dialects.identity.errors import answer_domain_error
from control_plane.dialects.identity.paths import provide_tenant_id
from control_plane.dialects.services import provide_services

PREFIX: Final = "/v1"


def build_router() -> Router:
    """Build the dialect's routes. Whoever needs no session says so; the others need one."""
    anonymous = Router(
        "/",
        route_handlers=[
            auth.register,
            auth.log_in,
            auth.verify_email,
            auth.verify_phone,
            auth.send_code_again,
            auth.request_reset,
            auth.confirm_reset,
            federation.start_oauth_login,
            federation.login_with_oauth,
            sessions.refresh_tokens,
            mfa.complete_challenge,
            mfa.send_challenge_code,
            profile.get_avatar,
        ],
    )
    with_session = Router(
        "/",
        route_handlers=[
            sessions.logout,
            sessions.list_sessions,
            sessions.revoke_session,
            federation.start_linking,
            federation.link_identity,
            federation.list_identities,
            federation.unlink_identity,
            audit.list_audit,
            auth.change_password,
            mfa.set_up_factor,
            mfa.verify_factor,
            mfa.list_factors,
            mfa.send_factor_code,
            mfa.remove_factor,
            mfa.disable_mfa,
            mfa.replace_recovery_codes,
            profile.get_me,
            profile.update_me,
            profile.get_balance,
            profile.pick_avatar,
            profile.list_avatars,
            users.get_user,
            users.list_users,
            users.ban_user,
            users.unban_user,
            tenants.list_tenants,
            tenants.create_tenant,
            tenants.resolve_tenant,
            tenants.get_tenant,
            tenants.update_tenant,
            tenants.list_usage,
            branding.get_branding,
            branding.replace_branding,
            domains.verify_domain,
            domains.list_domains,
            domains.check_domain,
            domains.remove_domain,
        ],
        guards=[require_session],
        dependencies={
            "actor": Provide(provide_actor),
            "of_tenant": Provide(provide_tenant_id),
            "user_key": Provide(users.provide_user_key),
        },
    )
    return Router(
        PREFIX,
        route_handlers=[anonymous, with_session],
        dependencies={"services": Provide(provide_services), "device": Provide(provide_device)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
