"""Keys of the services beside this one, such as a gateway: an addition to the contract."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.bearer import SERVICE_PREFIX
from control_plane.dialects.body import JsonBody, read_optional_body
from control_plane.dialects.identity.key_shapes import (
    ApiKeyListOut,
    NewApiKeyOut,
    RevokeIn,
    ServiceTokenCreateIn,
    read_blocks,
    show_key,
    show_new_key,
)
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.services import Services
from control_plane.domains.api_keys import service
from control_plane.domains.api_keys.errors import ApiKeyNotFound
from control_plane.domains.api_keys.model import KeyKind, KeySpec


@post("/service-tokens", status_code=201, dto=JsonBody[ServiceTokenCreateIn], return_dto=None)
async def create_token(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[ServiceTokenCreateIn]],
) -> NewApiKeyOut:
    """Let in a service, by a token that is shown this once. For superadmins."""
    actor.require_superadmin()
    create, now = accept(data), services.clock()
    spec = KeySpec(
        kind=KeyKind.SERVICE,
        name=create.name,
        allowed_ips=read_blocks(create.allowed_ips),
        rate_limit_rpm=create.rate_limit_rpm,
        expires_at=create.expires_at,
    )
    tenant_id, _user_id = actor.user_key
    async with services.transaction(tenant_id) as db:
        new = await service.create_key(db, actor, tenant_id, spec, prefix=SERVICE_PREFIX, now=now)
    return show_new_key(new, now)


@get("/service-tokens")
async def list_tokens(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> ApiKeyListOut:
    """List the tokens of services that are not revoked, whoever made them. For superadmins."""
    actor.require_superadmin()
    async with services.system_transaction() as db:
        keys = await service.list_service_tokens(db)
    return ApiKeyListOut([show_key(key, services.clock()) for key in keys])


@delete("/service-tokens/{api_key_id:str}", status_code=204)
async def revoke_token(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> None:
    """Revoke the token of a service: it is refused from this moment on. For superadmins."""
    actor.require_superadmin()
    key_id, now = read_id(request, "api_key_id", ApiKeyNotFound()), services.clock()
    reason = (await read_optional_body(request, RevokeIn)).reason
    async with services.system_transaction() as db:
        await service.revoke_service_token(db, actor, key_id, reason=reason, now=now)
