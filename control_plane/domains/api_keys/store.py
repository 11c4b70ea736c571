"""Rows of API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.db.pool import load_queries
from control_plane.domains.accounts.store import read_account
from control_plane.domains.api_keys.model import ApiKey, KeyHolder, KeyKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_key(  # noqa: PLR0913  one argument per column
    db: Connection,
    account: Account,
    *,
    key_id: uuid.UUID,
    kind: KeyKind,
    name: str,
    key_hash: bytes,
    key_prefix: str,
    now: datetime,
) -> ApiKey:
    """Add a key of `account`'s user."""
    row = await _queries.insert_key(
        db,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        id=key_id,
        kind=kind,
        name=name,
        key_hash=key_hash,
        key_prefix=key_prefix,
        now=now,
    )
    return _read_key(row)


async def list_active_keys(db: Connection, account: Account, kind: KeyKind) -> list[ApiKey]:
    """List the user's keys that are not revoked, newest first."""
    rows = _queries.list_active_keys(db, tenant_id=account.tenant_id, user_id=account.user_id, kind=kind)
    return [_read_key(row) async for row in rows]


async def revoke_key(
    db: Connection, account: Account, key_id: uuid.UUID, kind: KeyKind, now: datetime
) -> bool:
    """Mark a key of the user revoked. Answers whether there was such an active key."""
    revoked = await _queries.revoke_key(
        db, tenant_id=account.tenant_id, user_id=account.user_id, key_id=key_id, kind=kind, now=now
    )
    return revoked is not None


async def use_key(db: Connection, key_hash: bytes, kind: KeyKind, now: datetime) -> KeyHolder | None:
    """Find who holds an active key, and note that it was used."""
    row = await _queries.use_key(db, key_hash=key_hash, kind=kind, now=now)
    return None if row is None else KeyHolder(row["key_id"], read_account(row))


def _read_key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**row)
