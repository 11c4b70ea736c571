"""Rows of factors, recovery codes and challenges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.core.ids import new_id
from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def has_factor(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> bool:
    """Tell whether a user has a factor that is verified. `owner`: (tenant id, user id)."""
    answer: bool = await _queries.has_factor(db, tenant_id=owner[0], user_id=owner[1])
    return answer


async def insert_challenge(  # noqa: PLR0913  one argument per column
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    token_hash: bytes,
    device: Device,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a challenge to a sign-in from a device."""
    await _queries.insert_challenge(
        db,
        tenant_id=owner[0],
        challenge_id=new_id(),
        user_id=owner[1],
        token_hash=token_hash,
        device_id=device.device_id,
        device_name=device.device_name,
        now=now,
        expires_at=expires_at,
    )
