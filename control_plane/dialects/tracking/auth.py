"""Who calls: a tenant's API key, as a bearer token.

Keys of the identity contract see all of their tenant that their scopes allow. Keys of the links contract act
for a user: with the scope, they see what came of that user's links, and no more (`Actor.user_id` is set).

A guard runs before anything of a request is decoded, in the order 401, 429, 403: what a key may not do counts
against its limit as well. From authentication on, every answer says where the key stands in this minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from control_plane.core.actor import Actor, ActorKind
from control_plane.dialects.bearer import client_address, read_bearer, read_client_address
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.services import services_of
from control_plane.domains.accounts import service as accounts
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.errors import InvalidApiKey
from control_plane.domains.api_keys.model import PREFIXES, KeyKind
from control_plane.domains.limits.service import MINUTE_S, refuse
from edge.contract.key_format import is_well_formed

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler

    from control_plane.dialects.services import Services
    from control_plane.domains.api_keys.model import HeldKey
    from control_plane.domains.limits.model import LimitStatus

IDENTITY_PREFIX: Final = PREFIXES[KeyKind.IDENTITY, "Live"]
"""Keys for tests (fr_test_) open nothing here: there are no rows but real ones."""


async def require_key(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let in whoever holds an active key, within its limits, that has what the handler needs.

    `opt["scope"]`: one scope, or several, all of which are needed.
    """
    services, state = services_of(connection), connection.scope["state"]
    secret, now = read_bearer(connection), services.clock()
    if is_well_formed(secret, IDENTITY_PREFIX):
        kind = KeyKind.IDENTITY
    elif is_well_formed(secret, services.settings.links_key_prefix):
        kind = KeyKind.LINKS
    else:
        raise InvalidApiKey
    address = read_client_address(connection)
    async with services.system_transaction() as db:
        key = await api_keys.use_key(db, secret, kind=kind, address=address, now=now)
    user_id = None
    if kind is KeyKind.LINKS:
        assert key.account is not None
        user_id = key.account.user_id
    state["actor"] = Actor(
        kind=ActorKind.API_KEY,
        tenant_id=key.tenant_id,
        user_id=user_id,
        credential_id=key.id,
        request_id=request_id_of(connection.scope),
        ip_address=client_address(connection),
    )
    await _count_request(connection, services, key, now)
    needed: str | tuple[str, ...] = handler.opt["scope"]
    for scope in (needed,) if isinstance(needed, str) else needed:
        api_keys.require_scope(key, scope)


def tenant_of(actor: Actor) -> uuid.UUID:
    """Give the tenant of a key that was let in."""
    assert actor.tenant_id is not None
    return actor.tenant_id


async def _count_request(
    connection: ASGIConnection[Any, Any, Any, Any], services: Services, key: HeldKey, now: datetime
) -> None:
    """Count against the key's minute, and for a key that acts for a user against their plan's hour.

    Raises RateLimited, ApiAccessDenied.
    """
    state, limiter = connection.scope["state"], services.limiter
    limit = key.rate_limit_rpm or services.settings.key_requests_per_minute
    allowed, status = await limiter.count_request(key.id.hex, limit, now, MINUTE_S)
    state["response_headers"] = limit_headers(status)
    if allowed and key.kind is KeyKind.LINKS and key.account is not None:
        accounts.require_api_access(key.account)
        plan, subject = key.account.plan, key.account.user_id.hex
        allowed, of_hour = await limiter.count_request(subject, plan.api_requests_per_hour, now)
        if not allowed:
            status = of_hour
            state["response_headers"] = limit_headers(of_hour)
    if not allowed:
        raise refuse(status, now)
    services.usage.count_key_use(key.tenant_id, key.id, now)
    services.usage.count_call(key.tenant_id, None, now)


def limit_headers(status: LimitStatus) -> dict[str, str]:
    """Say in headers where a key stands. Reset: Unix seconds."""
    return {
        "X-RateLimit-Limit": str(status.limit),
        "X-RateLimit-Remaining": str(status.remaining),
        "X-RateLimit-Reset": str(int(status.reset_at.timestamp())),
    }
