"""Who calls, by a bearer token; the same for every dialect that has users.

A bearer token is that of a session, or the key of a service, which its prefix tells: neither is ever
taken for the other, and each guard says which it admits. A guard leaves the Actor in the connection;
a handler that asks for one cannot be reached without it.
"""

# ruff: noqa: TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.errors import Unauthenticated
from control_plane.core.ip_addresses import read_address
from control_plane.core.tokens import InvalidToken, verify_token
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.services import services_of
from control_plane.domains.api_keys import service as api_keys
from control_plane.domains.api_keys.model import PREFIXES, KeyKind
from control_plane.domains.limits.service import MINUTE_S, refuse
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sessions.model import Device
from edge.contract.key_format import is_well_formed

if TYPE_CHECKING:
    from datetime import datetime

    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler

    from control_plane.core.ip_addresses import IpAddress, IpNetwork
    from control_plane.dialects.services import Services
    from control_plane.domains.api_keys.model import HeldKey

BEARER_CHALLENGE: Final = 'Bearer realm="switchyard"'
USER_AGENT_LENGTH: Final = 512
SERVICE_PREFIX: Final = PREFIXES[KeyKind.SERVICE, "Live"]


class MissingToken(Unauthenticated):
    """The request has no bearer token."""

    code = "missing_token"

    def __init__(self) -> None:
        super().__init__("Missing bearer token. Include Authorization: Bearer <token> header.")


def read_bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Read the bearer token of a request. Raises MissingToken."""
    connection.scope["state"]["challenge"] = BEARER_CHALLENGE
    scheme, _space, token = connection.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingToken
    return token.strip()


async def require_session(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let in a user whose session is alive."""
    services, state = services_of(connection), connection.scope["state"]
    token, policy, now = read_bearer(connection), services.session_policy, services.clock()
    claims = verify_token(
        token, secret=policy.secret, issuer=policy.issuer, now=now, previous_secret=policy.previous_secret
    )
    if claims.tenant_id is None:
        raise InvalidToken
    async with services.transaction(claims.tenant_id) as db:
        actor = await sessions.authenticate(db, claims, now)
    services.usage.count_call(*actor.user_key, now)
    state["actor"] = msgspec.structs.replace(
        actor, request_id=request_id_of(connection.scope), ip_address=client_address(connection)
    )


async def require_service_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let in a service that holds an active key. It belongs to no tenant, and is no superadmin."""
    services, state = services_of(connection), connection.scope["state"]
    secret, now = read_bearer(connection), services.clock()
    if not is_well_formed(secret, SERVICE_PREFIX):
        raise InvalidToken
    address = read_client_address(connection)
    async with services.system_transaction() as db:
        key = await api_keys.use_key(db, secret, kind=KeyKind.SERVICE, address=address, now=now)
    await count_key_use(services, key, now)
    state["actor"] = Actor(
        kind=ActorKind.SERVICE,
        credential_id=key.id,
        request_id=request_id_of(connection.scope),
        ip_address=client_address(connection),
    )


async def require_session_or_service(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Let in a user whose session is alive, or a service."""
    if read_bearer(connection).startswith(SERVICE_PREFIX):
        await require_service_token(connection, handler)
    else:
        await require_session(connection, handler)


async def count_key_use(services: Services, key: HeldKey, now: datetime) -> None:
    """Count a use of a key against its own limit, and for its owner to see. Raises RateLimited."""
    if key.rate_limit_rpm is not None:
        allowed, status = await services.limiter.count_request(key.id.hex, key.rate_limit_rpm, now, MINUTE_S)
        if not allowed:
            raise refuse(status, now)
    services.usage.count_key_use(key.tenant_id, key.id, now)


async def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    """Give handlers the actor that a guard let in."""
    actor = request.scope["state"]["actor"]
    assert isinstance(actor, Actor)
    return actor


async def provide_device(request: Request[Any, Any, Any]) -> Device:
    """Give handlers the device that a request comes from, as far as its headers tell."""
    user_agent = request.headers.get("User-Agent", "")[:USER_AGENT_LENGTH]
    return Device(ip_address=client_address(request), user_agent=user_agent or None)


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Give the caller's address as text: see `read_client_address`."""
    address = read_client_address(connection)
    return None if address is None else str(address)


def read_client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> IpAddress | None:
    """Give the caller's address: behind trusted proxies, the right-most that is not one of them."""
    proxies = _read_networks(services_of(connection).settings.trusted_proxies)
    address = read_address(connection.client.host if connection.client else "")
    hops = connection.headers.get("X-Forwarded-For", "").split(",")
    while hops and address is not None and any(address in network for network in proxies):
        forwarded = read_address(hops.pop().strip())
        if forwarded is None:
            break
        address = forwarded
    return address


@lru_cache(maxsize=4)
def _read_networks(blocks: str) -> tuple[IpNetwork, ...]:
    names = {block.strip() for block in blocks.split(",")} - {"", "unix"}
    return tuple(ipaddress.ip_network(name) for name in sorted(names))
