"""API keys of a tenant: make, list, look at, revoke; and what the gateway asks about them."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor, ActorKind, Role
from control_plane.core.decoding import Decoded, accept
from control_plane.core.errors import Invalid, RateLimited
from control_plane.core.faults import Fault
from control_plane.core.ip_addresses import read_address
from control_plane.dialects.bearer import count_key_use
from control_plane.dialects.body import JsonBody, read_optional_body
from control_plane.dialects.identity.key_shapes import (
    ApiKeyCreateIn,
    ApiKeyListOut,
    ApiKeyOut,
    NewApiKeyOut,
    RevokeIn,
    read_spec,
    show_key,
    show_new_key,
)
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.services import Services
from control_plane.domains.api_keys import service
from control_plane.domains.api_keys.errors import ApiKeyNotFound
from control_plane.domains.api_keys.model import PREFIXES, KeyKind, Refusal


class ValidateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A key that somebody presented. `key_prefix`: its first 16 characters. `key_hash`: SHA-256 in hex.

    `ip_address`: who presented it; without, a key that is bound to addresses is not valid.
    """

    key_prefix: Annotated[str, Meta(max_length=64)]
    key_hash: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}\Z")]
    ip_address: Annotated[str, Meta(max_length=64)] | None = None


class ValidationOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key is worth. `reason`: why it is not valid; the rest is of a valid one."""

    valid: bool
    tenant_id: uuid.UUID | None = None
    scopes: list[str] | None = None
    rate_limit_rpm: int | None = None
    reason: Refusal | None = None


@post("/tenants/{tenant_id:str}/api-keys", status_code=201, dto=JsonBody[ApiKeyCreateIn], return_dto=None)
async def create_key(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[ApiKeyCreateIn]],
) -> NewApiKeyOut:
    """Make an API key, which is shown this once. It may do what its scopes say, and no more. For admins.

    Where nobody says how many requests a minute it has, it has 600.
    """
    actor.require_role(Role.ADMIN)
    spec, now = read_spec(accept(data), KeyKind.IDENTITY), services.clock()
    prefix = PREFIXES[spec.kind, spec.environment]
    async with services.transaction(of_tenant) as db:
        new = await service.create_key(db, actor, of_tenant, spec, prefix=prefix, now=now)
    return show_new_key(new, now)


@get("/tenants/{tenant_id:str}/api-keys")
async def list_keys(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> ApiKeyListOut:
    """List the tenant's API keys that are not revoked, newest first. For admins."""
    actor.require_role(Role.ADMIN)
    async with services.snapshot(of_tenant) as db:
        keys = await service.list_keys_of_tenant(db, of_tenant, KeyKind.IDENTITY)
    return ApiKeyListOut([show_key(key, services.clock()) for key in keys])


@get("/tenants/{tenant_id:str}/api-keys/{api_key_id:str}")
async def get_key(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> ApiKeyOut:
    """Get an API key, revoked or not. For admins."""
    actor.require_role(Role.ADMIN)
    key_id = read_id(request, "api_key_id", ApiKeyNotFound())
    async with services.snapshot(of_tenant) as db:
        key = await service.fetch_key(db, of_tenant, key_id, KeyKind.IDENTITY)
    return show_key(key, services.clock())


@delete("/tenants/{tenant_id:str}/api-keys/{api_key_id:str}", status_code=204)
async def revoke_key(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    of_tenant: NamedDependency[uuid.UUID],
) -> None:
    """Revoke an API key: it is refused from this moment on. The body may give a reason. For admins."""
    actor.require_role(Role.ADMIN)
    key_id, now = read_id(request, "api_key_id", ApiKeyNotFound()), services.clock()
    reason = (await read_optional_body(request, RevokeIn)).reason
    async with services.transaction(of_tenant) as db:
        await service.revoke_key(db, actor, of_tenant, key_id, kind=KeyKind.IDENTITY, reason=reason, now=now)


@post("/api-keys/validate", status_code=200, dto=JsonBody[ValidateIn], return_dto=None)
async def validate_key(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[ValidateIn]],
) -> ValidationOut:
    """Tell what a tenant's API key is worth, and count one use of it. For services and superadmins.

    What is not valid has a `reason`: unknown, revoked, expired, suspended, ip_not_allowed, rate_limited.
    """
    if actor.kind is not ActorKind.SERVICE:
        actor.require_superadmin()
    asked, now = accept(data), services.clock()
    address = None if asked.ip_address is None else read_address(asked.ip_address)
    if asked.ip_address is not None and address is None:
        raise Invalid([Fault("ip_address", "must be an IP address", asked.ip_address)])
    async with services.system_transaction() as db:
        key = await service.find_key(db, bytes.fromhex(asked.key_hash), now)
    if key is not None and key.key_prefix != asked.key_prefix:
        key = None
    refusal = service.judge_key(key, KeyKind.IDENTITY, address, now)
    if refusal is not None or key is None:
        return ValidationOut(valid=False, reason=refusal)
    try:
        await count_key_use(services, key, now)
    except RateLimited:
        return ValidationOut(valid=False, reason=Refusal.RATE_LIMITED)
    services.usage.count_call(key.tenant_id, None, now)
    return ValidationOut(
        valid=True, tenant_id=key.tenant_id, scopes=sorted(key.scopes), rate_limit_rpm=key.rate_limit_rpm
    )
