"""Rows of sessions and their refresh tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.db.pool import load_queries
from control_plane.domains.sessions.model import Session

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_session(  # noqa: PLR0913  one argument per column
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    session_id: uuid.UUID,
    device: Device,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a session."""
    await _queries.insert_session(
        db,
        tenant_id=tenant_id,
        session_id=session_id,
        user_id=user_id,
        device_id=device.device_id,
        device_name=device.device_name,
        user_agent=device.user_agent,
        ip_address=device.ip_address,
        now=now,
        expires_at=expires_at,
    )


async def insert_token(  # noqa: PLR0913  one argument per column
    db: Connection,
    tenant_id: uuid.UUID,
    session_id: uuid.UUID,
    token_hash: bytes,
    *,
    parent_hash: bytes | None,
    now: datetime,
) -> None:
    """Add a refresh token to a session."""
    await _queries.insert_token(
        db,
        tenant_id=tenant_id,
        token_hash=token_hash,
        session_id=session_id,
        parent_hash=parent_hash,
        now=now,
    )


async def consume_token(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes, now: datetime
) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Use up a token of a live session: (session id, user id), None when there is no such token."""
    row = await _queries.consume_token(db, tenant_id=tenant_id, token_hash=token_hash, now=now)
    return None if row is None else (row["session_id"], row["user_id"])


async def fetch_consumed(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes
) -> tuple[uuid.UUID, datetime] | None:
    """Find a token that is used up: (session id, when), None when there is no such token."""
    row = await _queries.fetch_consumed(db, tenant_id=tenant_id, token_hash=token_hash)
    return None if row is None else (row["session_id"], row["consumed_at"])


async def touch_session(db: Connection, tenant_id: uuid.UUID, session_id: uuid.UUID, now: datetime) -> None:
    """Note that a session was used."""
    await _queries.touch_session(db, tenant_id=tenant_id, session_id=session_id, now=now)


async def mark_authenticated(
    db: Connection, tenant_id: uuid.UUID, session_id: uuid.UUID, now: datetime
) -> None:
    """Note that the session's user has proved who they are."""
    await _queries.mark_authenticated(db, tenant_id=tenant_id, session_id=session_id, now=now)


async def authenticate(
    db: Connection, tenant_id: uuid.UUID, session_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> Mapping[str, Any] | None:
    """Find a live session's user: role, is_superadmin, authenticated_at; None when it has ended."""
    row: Mapping[str, Any] | None = await _queries.authenticate(
        db, tenant_id=tenant_id, session_id=session_id, user_id=user_id, now=now
    )
    return row


async def list_sessions(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> list[Session]:
    """List a user's live sessions, the one used last first."""
    rows = _queries.list_sessions(db, tenant_id=tenant_id, user_id=user_id, now=now)
    return [Session(**row) async for row in rows]


async def revoke_session(  # noqa: PLR0913  which session, why, when
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    session_id: uuid.UUID,
    *,
    reason: str,
    now: datetime,
) -> bool:
    """End one session of a user. Answers whether it was alive."""
    revoked = await _queries.revoke_session(
        db, tenant_id=tenant_id, user_id=user_id, session_id=session_id, reason=reason, now=now
    )
    return revoked is not None


async def revoke_family(
    db: Connection, tenant_id: uuid.UUID, session_id: uuid.UUID, *, reason: str, now: datetime
) -> None:
    """End a session, whoever's it is."""
    await _queries.revoke_family(db, tenant_id=tenant_id, session_id=session_id, reason=reason, now=now)


async def revoke_sessions(  # noqa: PLR0913  whose sessions, which not, why, when
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    *,
    except_id: uuid.UUID | None,
    reason: str,
    now: datetime,
) -> None:
    """End all sessions of a user but one."""
    await _queries.revoke_sessions(
        db, tenant_id=tenant_id, user_id=user_id, except_id=except_id, reason=reason, now=now
    )
