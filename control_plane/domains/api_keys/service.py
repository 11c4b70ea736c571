"""Make, list, revoke and recognise API keys.

Keys are looked up at every use, so what is revoked or expired is refused everywhere at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.ip_addresses import show_network
from control_plane.domains.api_keys import store
from control_plane.domains.api_keys.errors import (
    ApiKeyNotFound,
    InvalidApiKey,
    IpNotAllowed,
    ScopeRequired,
)
from control_plane.domains.api_keys.model import KeyKind, NewApiKey, Refusal
from control_plane.domains.api_keys.secret import make_secret
from control_plane.domains.audit import service as audit
from edge.contract.intake_record import INTAKE_SCOPE
from edge.contract.key_format import hash_secret

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.ip_addresses import IpAddress
    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.api_keys.model import ApiKey, HeldKey, KeySpec

VISIBLE_CHARACTERS: Final = 16
"""How much of a key is kept in clear, to recognise it by: the published contract's number."""

LAST_CHARACTERS: Final = 4


async def create_key(  # noqa: PLR0913  who, whose, what it may do, and what it looks like
    db: Connection, actor: Actor, tenant_id: uuid.UUID, spec: KeySpec, *, prefix: str, now: datetime
) -> NewApiKey:
    """Make a key of a tenant that starts with `prefix`. Raises Invalid when it would be expired already."""
    if spec.expires_at is not None and spec.expires_at <= now:
        raise Invalid([Fault("expires_at", "must lie in the future", spec.expires_at)])
    secret = make_secret(prefix)
    api_key = await store.insert_key(
        db,
        tenant_id,
        actor.user_id if actor.tenant_id == tenant_id else None,
        spec,
        key_id=new_id(),
        key_hash=hash_secret(secret),
        key_prefix=secret[:VISIBLE_CHARACTERS],
        last4=secret[-LAST_CHARACTERS:],
        now=now,
    )
    if INTAKE_SCOPE in spec.scopes:
        await store.enqueue_publication(db, tenant_id, api_key.id)
    made = msgspec.structs.asdict(spec) | {"allowed_ips": [show_network(block) for block in spec.allowed_ips]}
    await audit.record(db, actor, tenant_id, "api_key.create", ("api_key", api_key.id), after=made, now=now)
    return NewApiKey(api_key, secret)


async def list_keys_of_user(db: Connection, account: Account, kind: KeyKind) -> list[ApiKey]:
    """List the user's keys of a kind that are not revoked, newest first."""
    return await store.list_keys_of_user(db, account, kind)


async def list_keys_of_tenant(db: Connection, tenant_id: uuid.UUID, kind: KeyKind) -> list[ApiKey]:
    """List the tenant's keys of a kind that are not revoked, newest first."""
    return await store.list_keys_of_tenant(db, tenant_id, kind)


async def list_service_tokens(db: Connection) -> list[ApiKey]:
    """List the keys of services, whoever made them, that are not revoked, newest first."""
    return await store.list_service_tokens(db)


async def fetch_key(db: Connection, tenant_id: uuid.UUID, key_id: uuid.UUID, kind: KeyKind) -> ApiKey:
    """Find a key of a tenant, revoked or not. Raises ApiKeyNotFound."""
    api_key = await store.fetch_key(db, tenant_id, key_id, kind)
    if api_key is None:
        raise ApiKeyNotFound
    return api_key


async def revoke_key(  # noqa: PLR0913  who, which, whose, when and why
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    key_id: uuid.UUID,
    *,
    kind: KeyKind,
    now: datetime,
    of_user: uuid.UUID | None = None,
    reason: str | None = None,
) -> None:
    """Revoke a key for good. `of_user`: only one of that user. Raises ApiKeyNotFound."""
    if not await store.revoke_key(db, tenant_id, key_id, kind, user_id=of_user, reason=reason, now=now):
        raise ApiKeyNotFound
    await store.enqueue_publication(db, tenant_id, key_id)
    after = {"revoked_at": now, "reason": reason}
    await audit.record(db, actor, tenant_id, "api_key.revoke", ("api_key", key_id), after=after, now=now)


async def revoke_service_token(
    db: Connection, actor: Actor, key_id: uuid.UUID, *, reason: str | None, now: datetime
) -> None:
    """Revoke the key of a service, whoever made it. Raises ApiKeyNotFound."""
    tenant_id = await store.find_tenant_of_service_token(db, key_id)
    if tenant_id is None:
        raise ApiKeyNotFound
    await revoke_key(db, actor, tenant_id, key_id, kind=KeyKind.SERVICE, reason=reason, now=now)


async def republish_keys(db: Connection, tenant_id: uuid.UUID) -> None:
    """Have edges told that a tenant's keys are worth something else now, as when it is suspended."""
    await store.enqueue_publication_of_all(db, tenant_id)


async def find_key(db: Connection, key_hash: bytes, now: datetime) -> HeldKey | None:
    """Find a key by its hash, whatever state it is in: `judge_key` tells what it is worth."""
    return await store.find_key(db, key_hash, now)


def judge_key(key: HeldKey | None, kind: KeyKind, address: IpAddress | None, now: datetime) -> Refusal | None:
    """Tell why a key does not open what is for `kind`, used from `address`; None when it does."""
    if key is None or key.kind is not kind:
        return Refusal.UNKNOWN
    if key.revoked_at is not None:
        return Refusal.REVOKED
    if key.expires_at is not None and now >= key.expires_at:
        return Refusal.EXPIRED
    if not key.is_holder_live:
        return Refusal.SUSPENDED
    if key.allowed_ips and (address is None or not any(address in block for block in key.allowed_ips)):
        return Refusal.IP_NOT_ALLOWED
    return None


async def use_key(
    db: Connection, secret: str, *, kind: KeyKind, address: IpAddress | None, now: datetime
) -> HeldKey:
    """Recognise a well-formed key (key_format.is_well_formed). Raises InvalidApiKey, IpNotAllowed."""
    key = await find_key(db, hash_secret(secret), now)
    refusal = judge_key(key, kind, address, now)
    if refusal is Refusal.IP_NOT_ALLOWED:
        raise IpNotAllowed
    if refusal is not None or key is None:
        raise InvalidApiKey
    return key


def require_scope(key: HeldKey, scope: str) -> None:
    """Raise ScopeRequired unless the key has the scope."""
    if scope not in key.scopes:
        raise ScopeRequired(scope)
