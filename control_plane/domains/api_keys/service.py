"""Make, list, revoke and recognise API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core.ids import new_id
from control_plane.domains.accounts.service import require_api_access
from control_plane.domains.api_keys import store
from control_plane.domains.api_keys.errors import ApiKeyNotFound, InvalidApiKey
from control_plane.domains.api_keys.model import NewApiKey
from control_plane.domains.api_keys.secret import hash_secret, make_secret

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.api_keys.model import ApiKey, KeyHolder, KeyKind

VISIBLE_CHARACTERS: Final = 16
"""How much of a key is kept in clear, to recognise it by: the published contract's number."""


async def create_key(  # noqa: PLR0913  whose, which kind, and what it looks like
    db: Connection, account: Account, *, kind: KeyKind, name: str, prefix: str, now: datetime
) -> NewApiKey:
    """Make a key that starts with `prefix`. Raises ApiAccessDenied when the plan has no API."""
    require_api_access(account)
    secret = make_secret(prefix)
    api_key = await store.insert_key(
        db,
        account,
        key_id=new_id(),
        kind=kind,
        name=name,
        key_hash=hash_secret(secret),
        key_prefix=secret[:VISIBLE_CHARACTERS],
        now=now,
    )
    return NewApiKey(api_key, secret)


async def list_keys(db: Connection, account: Account, kind: KeyKind) -> list[ApiKey]:
    """List the user's active keys of a kind, newest first."""
    return await store.list_active_keys(db, account, kind)


async def revoke_key(
    db: Connection, account: Account, key_id: uuid.UUID, *, kind: KeyKind, now: datetime
) -> None:
    """Revoke a key for good. Raises ApiKeyNotFound."""
    if not await store.revoke_key(db, account, key_id, kind, now):
        raise ApiKeyNotFound


async def use_key(db: Connection, secret: str, *, kind: KeyKind, now: datetime) -> KeyHolder:
    """Recognise a well-formed key (secret.is_well_formed) and note its use. Raises InvalidApiKey.

    Keys are looked up at every use, so a revoked one is refused everywhere at once.
    """
    holder = await store.use_key(db, hash_secret(secret), kind, now)
    if holder is None:
        raise InvalidApiKey
    return holder
