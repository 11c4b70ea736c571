"""Who calls: an API key for links and clicks, a token for the keys themselves.

Guards run before anything of a request is decoded, in the order 401, 403, 429. They leave the
account in the connection, from where `provide_account` hands it to handlers: a handler that asks
for an Account cannot be reached without one.
"""

# ruff: noqa: TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Request

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.errors import RateLimited
from control_plane.core.tokens import InvalidToken, verify_token
from control_plane.dialects.bearer import client_address, count_key_use, read_bearer, read_client_address
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.links.errors import MissingApiKey
from control_plane.dialects.services import services_of
from control_plane.domains.accounts import service as accounts
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.accounts.model import Account
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.errors import InvalidApiKey
from control_plane.domains.api_keys.model import KeyKind
from control_plane.domains.limits.service import refuse
from control_plane.domains.sessions import service as sessions
from edge.contract.key_format import is_well_formed

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler

    from control_plane.domains.limits.model import LimitStatus

API_KEY_CHALLENGE: Final = 'ApiKey realm="switchyard"'


async def require_api_key(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let in whoever holds an active key of a plan with API access, within their rate limits.

    The key must have the scope that the handler names: `opt["scope"]`.
    """
    services, state = services_of(connection), connection.scope["state"]
    state["challenge"] = API_KEY_CHALLENGE
    secret = connection.headers.get("X-API-Key")
    if not secret:
        raise MissingApiKey
    if not is_well_formed(secret, services.settings.links_key_prefix):
        raise InvalidApiKey
    now = services.clock()
    address = read_client_address(connection)
    async with services.system_transaction() as db:
        key = await api_keys.use_key(db, secret, kind=KeyKind.LINKS, address=address, now=now)
    account = key.account
    assert account is not None
    accounts.require_api_access(account)
    api_keys.require_scope(key, handler.opt["scope"])
    subject, limit = account.user_id.hex, account.plan.api_requests_per_hour
    try:
        await count_key_use(services, key, now)
    except RateLimited:
        state["response_headers"] = limit_headers(await services.limiter.read_status(subject, limit, now))
        raise
    allowed, status = await services.limiter.count_request(subject, limit, now)
    state["response_headers"] = limit_headers(status)
    if not allowed:
        raise refuse(status, now)
    services.usage.count_call(account.tenant_id, None, now)
    state["account"] = account
    state["actor"] = Actor(
        kind=ActorKind.API_KEY,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        credential_id=key.id,
        request_id=request_id_of(connection.scope),
        ip_address=client_address(connection),
    )


async def require_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let in a user with a valid token."""
    services, state = services_of(connection), connection.scope["state"]
    token, policy, now = read_bearer(connection), services.session_policy, services.clock()
    claims = verify_token(
        token, secret=policy.secret, issuer=policy.issuer, now=now, previous_secret=policy.previous_secret
    )
    try:
        async with services.system_transaction() as db:
            if claims.session_id is not None:
                await sessions.authenticate(db, claims, now)
            account = await accounts.fetch_account(db, claims.user_id, now)
    except UserNotFound as error:
        raise InvalidToken from error
    services.usage.count_call(account.tenant_id, account.user_id, now)
    state["account"] = account
    state["actor"] = Actor(
        kind=ActorKind.USER,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        credential_id=claims.session_id,
        request_id=request_id_of(connection.scope),
        ip_address=client_address(connection),
    )


async def provide_account(request: Request[Any, Any, Any]) -> Account:
    """Give handlers the account that a guard let in."""
    account = request.scope["state"]["account"]
    assert isinstance(account, Account)
    return account


def limit_headers(status: LimitStatus) -> dict[str, str]:
    """Say in headers where a caller stands."""
    return {
        "X-RateLimit-Limit": str(status.limit),
        "X-RateLimit-Remaining": str(status.remaining),
        "X-RateLimit-Reset": str(int(status.reset_at.timestamp())),
    }
