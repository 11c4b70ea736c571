"""Rows of verifications."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.core.ids import new_id
from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.verification.model import Purpose

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def replace(  # noqa: PLR0913  one argument per column
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    purpose: Purpose,
    *,
    destination: str,
    token_hash: bytes,
    code_hash: bytes | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a verification; it kills the one before it. `owner`: (tenant id, user id)."""
    tenant_id, user_id = owner
    await _queries.supersede(db, tenant_id=tenant_id, user_id=user_id, purpose=purpose, now=now)
    await _queries.insert_verification(
        db,
        tenant_id=tenant_id,
        id=new_id(),
        user_id=user_id,
        purpose=purpose,
        destination=destination,
        token_hash=token_hash,
        code_hash=code_hash,
        now=now,
        expires_at=expires_at,
    )


async def count_since(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], purpose: Purpose, since: datetime
) -> int:
    """Count what was sent to a user for a purpose since a moment. `owner`: (tenant id, user id)."""
    count: int = await _queries.count_since(
        db, tenant_id=owner[0], user_id=owner[1], purpose=purpose, since=since
    )
    return count


async def count_attempt(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes, now: datetime
) -> Mapping[str, Any] | None:
    """Count a try of a live verification and give it; None when there is none."""
    row: Mapping[str, Any] | None = await _queries.count_attempt(
        db, tenant_id=tenant_id, token_hash=token_hash, now=now
    )
    return row


async def find_since(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes, since: datetime
) -> Mapping[str, Any] | None:
    """Find a verification of a moment since, used up or not."""
    row: Mapping[str, Any] | None = await _queries.find_since(
        db, tenant_id=tenant_id, token_hash=token_hash, since=since
    )
    return row


async def consume(db: Connection, tenant_id: uuid.UUID, verification_id: uuid.UUID, now: datetime) -> None:
    """Use a verification up."""
    await _queries.consume(db, tenant_id=tenant_id, id=verification_id, now=now)


async def is_alive(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes, purpose: Purpose, now: datetime
) -> bool:
    """Tell whether a token can still be redeemed."""
    alive: bool = await _queries.is_alive(
        db, tenant_id=tenant_id, token_hash=token_hash, purpose=purpose, now=now
    )
    return alive
