"""Sign in, register, carry on, and who the caller is.

The contract's sign-in names no tenant: it is that of the header X-Tenant, or of the domain that the
request came to, or the default one.
"""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects import credentials
from control_plane.dialects.body import JsonBody
from control_plane.dialects.growth.token_shapes import LoginOut, present_login
from control_plane.dialects.growth.user_shapes import UserOut, show_user
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sessions.model import Device
from control_plane.domains.tenants import service as tenants
from control_plane.domains.tenants import store as tenants_store
from control_plane.domains.users import service as users

if TYPE_CHECKING:
    import uuid

Address: TypeAlias = Annotated[str, Meta(max_length=254)]
Password: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]


class LoginIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs in, and by which password."""

    email: Address
    password: Password


class RegisterIn(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who wants to be a user."""

    email: Address
    password: Password
    full_name: Line | None = None


class RegisteredOut(msgspec.Struct, frozen=True, kw_only=True):
    """An address that awaits a code. `verification_token`: what it is to be sent back with."""

    success: bool = True
    email: str
    verification_required: bool = True
    verification_token: str


class RefreshIn(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token that was not used before."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=512)]


@post("/auth/login", status_code=200, dto=JsonBody[LoginIn], return_dto=None)
async def log_in(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[LoginIn]],
) -> LoginOut:
    """Sign in with a verified address and a password.

    403 with code MFA_REQUIRED holds details.mfa_token for /auth/mfa/challenge.
    """
    body = accept(data)
    identifier = credentials.read_identifier(body.email, None)
    tenant_id = await _find_tenant(request, services)
    tokens = await credentials.log_in(services, tenant_id, identifier, body.password, device)
    async with services.snapshot(tokens.tenant_id) as db:
        return await present_login(db, tokens)


@post("/auth/register", dto=JsonBody[RegisterIn], return_dto=None)
async def register(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[RegisterIn]],
) -> RegisteredOut:
    """Register with an e-mail address. A code is sent to it, which /v1/auth/verify/email takes.

    The answer is the same when somebody has this address already; its owner gets a mail that says so.
    """
    body = accept(data)
    identifier = credentials.read_identifier(body.email, None)
    await credentials.count_stranger(services, device.ip_address)
    tenant_id = await _find_tenant(request, services)
    if tenant_id is None:
        raise Invalid([Fault("X-Tenant", "must name a tenant", request.headers.get("X-Tenant", ""))])
    _user_id, token = await credentials.register(
        services,
        tenant_id,
        body.password,
        identifier=identifier,
        full_name=body.full_name,
        affiliate_code=None,
        accepts_terms=False,
        language=credentials.read_language(request.headers.get("Accept-Language", "")),
    )
    return RegisteredOut(email=str(identifier.email), verification_token=token)


@post("/auth/refresh", status_code=200, dto=JsonBody[RefreshIn], return_dto=None)
async def refresh_tokens(services: NamedDependency[Services], data: JSONBody[Decoded[RefreshIn]]) -> LoginOut:
    """Exchange a refresh token for new tokens. It serves once: coming back later, it ends its session."""
    token = accept(data).refresh_token
    async with services.transaction(sessions.tenant_of(token)) as db:
        tokens = await sessions.refresh(db, token, services.session_policy, services.clock())
        return await present_login(db, tokens)


@post("/auth/logout", status_code=204)
async def log_out(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> None:
    """End the session that the caller is in."""
    assert actor.credential_id is not None
    tenant_id, user_id = actor.user_key
    async with services.transaction(tenant_id) as db:
        await sessions.revoke_session(
            db, tenant_id, user_id, actor.credential_id, reason="logout", now=services.clock()
        )


@get("/auth/me")
async def get_me(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> UserOut:
    """Tell who the caller is."""
    tenant_id, user_id = actor.user_key
    async with services.snapshot(tenant_id) as db:
        user = await users.fetch_user(db, tenant_id, user_id)
        return show_user(user, (await tenants.fetch_tenant(db, tenant_id)).number)


async def _find_tenant(request: Request[Any, Any, Any], services: Services) -> uuid.UUID | None:
    """Find the tenant of a sign-in; None unless it is there and open."""
    slug = request.headers.get("X-Tenant")
    if slug is not None:
        return await credentials.find_tenant(services, slug)
    host = request.url.hostname or ""
    async with services.system_transaction() as db:
        return await tenants_store.find_id_by_domain(db, host) or await tenants_store.find_id_by_slug(
            db, services.settings.default_tenant
        )
