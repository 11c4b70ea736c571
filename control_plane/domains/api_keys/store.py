"""Rows of API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.db.pool import load_queries
from control_plane.domains.accounts.store import read_account
from control_plane.domains.api_keys.model import ApiKey, HeldKey, KeyKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.api_keys.model import KeySpec

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_key(  # noqa: PLR0913  whose, what it is to be, and what it is recognised by
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID | None,
    spec: KeySpec,
    *,
    key_id: uuid.UUID,
    key_hash: bytes,
    key_prefix: str,
    last4: str,
    now: datetime,
) -> ApiKey:
    """Add a key."""
    row = await _queries.insert_key(
        db,
        tenant_id=tenant_id,
        id=key_id,
        user_id=user_id,
        key_hash=key_hash,
        key_prefix=key_prefix,
        last4=last4,
        now=now,
        **msgspec.structs.asdict(spec),
    )
    return _read_key(row)


async def list_keys_of_user(db: Connection, account: Account, kind: KeyKind) -> list[ApiKey]:
    """List the user's keys that are not revoked, newest first."""
    rows = _queries.list_keys_of_user(db, tenant_id=account.tenant_id, user_id=account.user_id, kind=kind)
    return [_read_key(row) async for row in rows]


async def list_keys_of_tenant(db: Connection, tenant_id: uuid.UUID, kind: KeyKind) -> list[ApiKey]:
    """List the tenant's keys that are not revoked, newest first."""
    rows = _queries.list_keys_of_tenant(db, tenant_id=tenant_id, kind=kind)
    return [_read_key(row) async for row in rows]


async def list_service_tokens(db: Connection) -> list[ApiKey]:
    """List the keys of services that are not revoked, newest first."""
    return [_read_key(row) async for row in _queries.list_service_tokens(db)]


async def fetch_key(db: Connection, tenant_id: uuid.UUID, key_id: uuid.UUID, kind: KeyKind) -> ApiKey | None:
    """Find a key of a tenant, revoked or not."""
    row = await _queries.fetch_key(db, tenant_id=tenant_id, key_id=key_id, kind=kind)
    return None if row is None else _read_key(row)


async def find_tenant_of_service_token(db: Connection, key_id: uuid.UUID) -> uuid.UUID | None:
    """Find on which tenant the key of a service is stored."""
    tenant_id: uuid.UUID | None = await _queries.find_tenant_of_service_token(db, key_id=key_id)
    return tenant_id


async def revoke_key(  # noqa: PLR0913  which, whose, when and why
    db: Connection,
    tenant_id: uuid.UUID,
    key_id: uuid.UUID,
    kind: KeyKind,
    *,
    user_id: uuid.UUID | None,
    reason: str | None,
    now: datetime,
) -> bool:
    """Mark a key revoked. `user_id`: only one of that user. Answers whether there was such an active key."""
    revoked = await _queries.revoke_key(
        db, tenant_id=tenant_id, user_id=user_id, key_id=key_id, kind=kind, reason=reason, now=now
    )
    return revoked is not None


async def find_key(db: Connection, key_hash: bytes, now: datetime) -> HeldKey | None:
    """Find a key by its hash, of whatever kind and state, and whether its holder may act."""
    row = await _queries.find_key(db, key_hash=key_hash, now=now)
    if row is None:
        return None
    return HeldKey(
        id=row["id"],
        kind=KeyKind(row["kind"]),
        tenant_id=row["tenant_id"],
        key_prefix=row["key_prefix"],
        account=None if row["user_id"] is None else read_account(row),
        scopes=frozenset(row["scopes"]),
        allowed_ips=tuple(row["allowed_ips"]),
        rate_limit_rpm=row["rate_limit_rpm"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        is_holder_live=row["is_holder_live"],
    )


async def enqueue_publication(db: Connection, tenant_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """Have edges told of a key, if it may report sales, once the transaction commits."""
    await _queries.enqueue_publication(db, tenant_id=tenant_id, key_id=key_id)


async def enqueue_publication_of_all(db: Connection, tenant_id: uuid.UUID) -> None:
    """Have edges told of all keys of a tenant that may report sales, as new versions."""
    await _queries.enqueue_publication_of_all(db, tenant_id=tenant_id)


def _read_key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**row)
