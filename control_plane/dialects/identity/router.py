"""The identity contract: /v1/auth, /v1/users, /v1/tenants, /v1/api-keys."""

from __future__ import annotations

from typing import Final

from litestar import Router
from litestar.di import Provide

from control_plane.core.errors import DomainError
from control_plane.dialects.bearer import (
    provide_actor,
    provide_device,
    require_session,
    require_session_or_service,
)
from control_plane.dialects.identity import (
    api_keys,
    audit,
    auth,
    branding,
    domains,
    federation,
    mfa,
    profile,
    push,
    service_tokens,
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
            tenants.get_tenant,
            tenants.update_tenant,
            tenants.list_usage,
            branding.get_branding,
            branding.replace_branding,
            domains.verify_domain,
            domains.list_domains,
            domains.check_domain,
            domains.remove_domain,
            push.subscribe,
            push.unsubscribe,
            push.show_push_key,
            api_keys.create_key,
            api_keys.list_keys,
            api_keys.get_key,
            api_keys.revoke_key,
            service_tokens.create_token,
            service_tokens.list_tokens,
            service_tokens.revoke_token,
        ],
        guards=[require_session],
        dependencies={
            "actor": Provide(provide_actor),
            "of_tenant": Provide(provide_tenant_id),
            "user_key": Provide(users.provide_user_key),
        },
    )
    for_services_too = Router(
        "/",
        route_handlers=[tenants.resolve_tenant, api_keys.validate_key],
        guards=[require_session_or_service],
        dependencies={"actor": Provide(provide_actor)},
    )
    return Router(
        PREFIX,
        route_handlers=[anonymous, with_session, for_services_too],
        dependencies={"services": Provide(provide_services), "device": Provide(provide_device)},
        exception_handlers={DomainError: answer_domain_error},
        include_in_schema=False,
    )
