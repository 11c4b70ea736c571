"""API keys: create, list, revoke, and where their rate limit stands."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.accounts.service import require_api_access
from control_plane.domains.api_keys import service
from control_plane.domains.api_keys.errors import ApiKeyNotFound
from control_plane.domains.api_keys.model import LINKS_SCOPES, KeyKind, KeySpec


class KeyCreateQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key is called."""

    name: (
        Annotated[str, Meta(min_length=1, max_length=100, description="Descriptive name for this API key")]
        | UnsetType
    )


class NewKeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made."""

    id: uuid.UUID
    name: str
    key: Annotated[str, Meta(description="The full API key. Shown only once - store it securely!")]
    key_prefix: Annotated[str, Meta(description="First 16 characters of the key for identification")]
    created_at: Moment
    rate_limit: Annotated[int, Meta(description="Rate limit per hour for this key based on plan")]


class KeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A key in a list."""

    id: uuid.UUID
    name: str
    key_prefix: str
    created_at: Moment
    last_used_at: Moment | None = None
    is_active: bool


class KeyListOut(msgspec.Struct, frozen=True, kw_only=True):
    """The user's active keys."""

    keys: list[KeyOut]
    rate_limit_per_hour: Annotated[int, Meta(description="Rate limit per hour based on your plan")]


class LimitStatusOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where the user stands in this hour."""

    limit: Annotated[int, Meta(description="Maximum requests allowed per hour")]
    remaining: Annotated[int, Meta(description="Remaining requests in current hour")]
    reset_at: Annotated[Moment, Meta(description="When the rate limit resets")]


@post(
    "/",
    operation_id="createApiKey",
    operation_class=describe(errors=(401, 403, 422), limited=False, parameters=KeyCreateQueryIn),
    summary="Create API key",
)
async def create_key(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    actor: NamedDependency[Actor],
) -> NewKeyOut:
    """Create an API key. The full key is returned only once and cannot be retrieved later."""
    query = decode_parameters(request.query_params, KeyCreateQueryIn)
    if query.faults:
        raise Invalid(query.faults)
    assert query.value.name is not UNSET
    require_api_access(account)
    spec = KeySpec(kind=KeyKind.LINKS, name=query.value.name, scopes=LINKS_SCOPES)
    prefix, now = services.settings.links_key_prefix, services.clock()
    async with services.transaction(account.tenant_id) as db:
        new = await service.create_key(db, actor, account.tenant_id, spec, prefix=prefix, now=now)
    return NewKeyOut(
        id=new.api_key.id,
        name=new.api_key.name,
        key=new.secret,
        key_prefix=new.api_key.key_prefix,
        created_at=new.api_key.created_at,
        rate_limit=account.plan.api_requests_per_hour,
    )


@get(
    "/",
    operation_id="listApiKeys",
    operation_class=describe(errors=(401,), limited=False),
    summary="List API keys",
)
async def list_keys(services: NamedDependency[Services], account: NamedDependency[Account]) -> KeyListOut:
    """List the user's active API keys, without the keys themselves."""
    async with services.snapshot(account.tenant_id) as db:
        keys = await service.list_keys_of_user(db, account, KeyKind.LINKS)
    return KeyListOut(
        keys=[
            KeyOut(
                id=key.id,
                name=key.name,
                key_prefix=key.key_prefix,
                created_at=key.created_at,
                last_used_at=key.last_used_at,
                is_active=key.is_active(services.clock()),
            )
            for key in keys
        ],
        rate_limit_per_hour=account.plan.api_requests_per_hour,
    )


@delete(
    "/{key_id:str}",
    operation_id="revokeApiKey",
    operation_class=describe(errors=(401, 404), limited=False),
    summary="Revoke API key",
)
async def revoke_key(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> None:
    """Revoke an API key. It is refused from this moment on."""
    try:
        key_id = msgspec.convert(request.path_params["key_id"], uuid.UUID)
    except msgspec.ValidationError as error:
        raise ApiKeyNotFound from error
    tenant_id, user_id = actor.user_key
    async with services.transaction(tenant_id) as db:
        await service.revoke_key(
            db, actor, tenant_id, key_id, kind=KeyKind.LINKS, of_user=user_id, now=services.clock()
        )


@get(
    "/rate-limit",
    operation_id="getRateLimitStatus",
    operation_class=describe(errors=(401,), limited=False),
    summary="Get rate limit status",
)
async def get_limit_status(
    services: NamedDependency[Services], account: NamedDependency[Account]
) -> LimitStatusOut:
    """Tell how many requests the user has left in this hour. Asking does not count as one."""
    status = await services.limiter.read_status(
        account.user_id.hex, account.plan.api_requests_per_hour, services.clock()
    )
    return LimitStatusOut(limit=status.limit, remaining=status.remaining, reset_at=status.reset_at)
