"""Sign in with a provider, and link its accounts. Starting, and all of /auth/identities, are additions.

The client keeps the `state` that a start answers, in the browser or app that began, and goes on only
with a redirect that brings the same one: otherwise anybody could sign others in to an account of theirs.
"""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.decoding import Decoded, accept
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects import credentials
from control_plane.dialects.bearer import client_address
from control_plane.dialects.body import JsonBody
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.identity.token_answers import TokensOut, answer_tokens, present_tokens
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.federation import service
from control_plane.domains.federation.errors import InvalidOAuthState, ProviderNotConfigured
from control_plane.domains.limits.service import refuse
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sessions.model import Device
from control_plane.domains.sign_in import service as sign_in
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    import uuid

    from control_plane.domains.federation.model import Identity, Person, Provider

STARTS_PER_HOUR: Final = 600
"""From one address, behind which there may be a whole company."""

Slug = Annotated[str, Meta(min_length=1, max_length=255)]
Code = Annotated[str, Meta(min_length=1, max_length=2048)]
State = Annotated[str, Meta(min_length=1, max_length=256)]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]


class OAuthStartIn(msgspec.Struct, frozen=True, kw_only=True):
    """Where to sign in, and where to come back to: one of the redirect URIs that are configured."""

    tenant_slug: Slug
    redirect_uri: Uri


class LinkStartIn(msgspec.Struct, frozen=True, kw_only=True):
    """Where to come back to."""

    redirect_uri: Uri


class OAuthStartOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the user, and the state that they come back with, once, until then."""

    authorization_url: str
    state: str
    expires_at: Moment


class OAuthLoginIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the redirect brought. `redirect_uri`: if given, must be the one of the start."""

    tenant_slug: Slug
    code: Code
    state: State | None = None
    redirect_uri: Uri | None = None


class LinkIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the redirect brought."""

    code: Code
    state: State
    redirect_uri: Uri | None = None


class IdentityOut(msgspec.Struct, frozen=True, kw_only=True):
    """An account that the caller can sign in with. `email`: as the provider told it when it was linked."""

    provider: str
    subject: str
    email: str | None
    linked_at: Moment


class IdentityListOut(msgspec.Struct, frozen=True):
    """The caller's linked accounts."""

    identities: list[IdentityOut]


@post("/auth/login/oauth/{provider:str}/start", status_code=200, dto=JsonBody[OAuthStartIn], return_dto=None)
async def start_oauth_login(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    data: JSONBody[Decoded[OAuthStartIn]],
) -> OAuthStartOut:
    """Begin to sign in with a provider (google, telegram). The state lasts ten minutes and serves once."""
    provider, body = _find_provider(request, services), accept(data)
    await _count_start(request, services)
    tenant_id = await credentials.find_tenant(services, body.tenant_slug)
    if tenant_id is None:
        raise TenantNotFound
    return await _begin(services, provider, tenant_id, body.redirect_uri, user_id=None)


@post("/auth/login/oauth/{provider:str}", status_code=200, dto=JsonBody[OAuthLoginIn], return_dto=None)
async def login_with_oauth(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[OAuthLoginIn]],
) -> Response[TokensOut]:
    """Sign in with what the provider's redirect brought. Somebody who comes for the first time is registered.

    An address that an account has already is no proof of whose that is: the answer is then 409, and the
    account's owner signs in as before and links the provider.
    """
    provider, body = _find_provider(request, services), accept(data)
    if body.state is None:
        rule = (
            f"is required: /v1/auth/login/oauth/{provider.name}/start answers it, the redirect brings it back"
        )
        raise Invalid([Fault("state", rule)])
    tenant_id = await credentials.find_tenant(services, body.tenant_slug)
    if tenant_id is None:
        raise InvalidOAuthState
    arrival = LinkIn(code=body.code, state=body.state, redirect_uri=body.redirect_uri)
    person = await _identify(services, provider, tenant_id, arrival, user_id=None)
    actor = Actor(
        kind=ActorKind.USER,
        tenant_id=tenant_id,
        request_id=request_id_of(request.scope),
        ip_address=client_address(request),
    )
    now = services.clock()
    async with services.transaction(tenant_id) as db:
        user_id = await service.find_or_register(db, tenant_id, person, actor, now)
        tokens = await sign_in.open_session(db, (tenant_id, user_id), device, services.session_policy, now)
        return answer_tokens(request, await present_tokens(db, tokens, now))


@post("/auth/identities/{provider:str}/start", status_code=200, dto=JsonBody[LinkStartIn], return_dto=None)
async def start_linking(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[LinkStartIn]],
) -> OAuthStartOut:
    """Begin to link an account of a provider to the caller's own. Needs a sign-in of the last ten minutes."""
    provider, body = _find_provider(request, services), accept(data)
    sessions.require_recent_authentication(actor, services.clock())
    await _count_start(request, services)
    tenant_id, user_id = actor.user_key
    return await _begin(services, provider, tenant_id, body.redirect_uri, user_id=user_id)


@post("/auth/identities/{provider:str}", status_code=200, dto=JsonBody[LinkIn], return_dto=None)
async def link_identity(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[LinkIn]],
) -> IdentityListOut:
    """Link the account that the provider's redirect brought, and list all that are linked.

    The state is of a start by the same user. Needs a sign-in of the last ten minutes.
    """
    provider, body = _find_provider(request, services), accept(data)
    sessions.require_recent_authentication(actor, services.clock())
    tenant_id, user_id = actor.user_key
    person = await _identify(services, provider, tenant_id, body, user_id=user_id)
    async with services.transaction(tenant_id) as db:
        await service.link_identity(db, actor, person, services.clock())
        return _show_identities(await service.list_identities(db, tenant_id, user_id))


@get("/auth/identities")
async def list_identities(
    services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> IdentityListOut:
    """List the accounts of providers that the caller can sign in with."""
    tenant_id, user_id = actor.user_key
    async with services.snapshot(tenant_id) as db:
        return _show_identities(await service.list_identities(db, tenant_id, user_id))


@delete("/auth/identities/{provider:str}", status_code=204)
async def unlink_identity(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> None:
    """Unlink the caller's account at a provider, unless they could not sign in without it.

    Needs a sign-in of the last ten minutes.
    """
    now = services.clock()
    sessions.require_recent_authentication(actor, now)
    configured = [provider.name for provider in services.providers.values()]
    async with services.transaction(actor.user_key[0]) as db:
        await service.unlink_identity(db, actor, request.path_params["provider"], configured, now)


def _find_provider(request: Request[Any, Any, Any], services: Services) -> Provider:
    """Give the provider that a path names. Raises ProviderNotConfigured."""
    name = request.path_params["provider"]
    provider = services.providers.get(name)
    if provider is None:
        raise ProviderNotConfigured(name)
    return provider


async def _count_start(request: Request[Any, Any, Any], services: Services) -> None:
    """Count what leaves a row behind. Raises RateLimited."""
    now = services.clock()
    subject = f"oauth_start:{client_address(request)}"
    allowed, status = await services.limiter.count_request(subject, STARTS_PER_HOUR, now)
    if not allowed:
        raise refuse(status, now)


async def _begin(
    services: Services,
    provider: Provider,
    tenant_id: uuid.UUID,
    redirect_uri: str,
    *,
    user_id: uuid.UUID | None,
) -> OAuthStartOut:
    """Keep an attempt, and tell where to send its user."""
    if redirect_uri not in services.settings.allowed_redirect_uris:
        raise Invalid([Fault("redirect_uri", "must be one of the URIs that are configured", redirect_uri)])
    now = services.clock()
    departure = await service.prepare_attempt(
        services.sealer, provider, tenant_id, redirect_uri, user_id=user_id, now=now
    )
    url = await services.oidc.build_authorization_url(provider, departure, now)
    async with services.transaction(tenant_id) as db:
        await service.keep_attempt(db, tenant_id, departure.attempt)
    return OAuthStartOut(
        authorization_url=url, state=departure.state, expires_at=departure.attempt.expires_at
    )


async def _identify(
    services: Services,
    provider: Provider,
    tenant_id: uuid.UUID,
    arrival: LinkIn,
    *,
    user_id: uuid.UUID | None,
) -> Person:
    """Use up the attempt that somebody comes back with, then ask the provider who they are."""
    now = services.clock()
    async with services.transaction(tenant_id) as db:
        attempt = await service.use_attempt(
            db,
            tenant_id,
            arrival.state,
            provider=provider,
            redirect_uri=arrival.redirect_uri,
            user_id=user_id,
            now=now,
        )
    verifier = await service.open_verifier(services.sealer, attempt)
    return await services.oidc.identify(provider, attempt, arrival.code, verifier, now)


def _show_identities(identities: list[Identity]) -> IdentityListOut:
    return IdentityListOut(
        [
            IdentityOut(
                provider=identity.provider.value,
                subject=identity.subject,
                email=identity.email,
                linked_at=identity.created_at,
            )
            for identity in identities
        ]
    )
