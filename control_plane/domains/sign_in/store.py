"""Rows of failed sign-ins, and what of users only sign-in looks at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from control_plane.db.pool import Connection
    from control_plane.domains.sign_in.model import Identifier

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def is_locked(db: Connection, tenant_id: uuid.UUID, subjects: Sequence[bytes], now: datetime) -> bool:
    """Tell whether any of these subjects is locked."""
    locked: bool = await _queries.find_locks(db, tenant_id=tenant_id, subjects=list(subjects), now=now)
    return locked


async def hold_failures(db: Connection, tenant_id: uuid.UUID, subject: bytes) -> None:
    """Let nobody count a failure of a subject until the transaction ends."""
    await _queries.hold_failures(db, tenant_id=tenant_id, subject=subject)


async def count_failure(  # noqa: PLR0913  whose, when, and the rule
    db: Connection,
    tenant_id: uuid.UUID,
    subject: bytes,
    now: datetime,
    *,
    forgotten: datetime,
    most: int,
    step: timedelta,
    longest: timedelta,
) -> datetime | None:
    """Count a failure of a subject; give the end of the lock that it makes, None when it makes none."""
    locked_until: datetime | None = await _queries.count_failure(
        db,
        tenant_id=tenant_id,
        subject=subject,
        now=now,
        forgotten=forgotten,
        most=most,
        step=step,
        longest=longest,
    )
    return locked_until


async def forget_failures(db: Connection, tenant_id: uuid.UUID, subject: bytes) -> None:
    """Count a subject's failures from none again."""
    await _queries.forget_failures(db, tenant_id=tenant_id, subject=subject)


async def fetch_password(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> str | None:
    """Read the hash of a user's password; None where there is none."""
    stored: str | None = await _queries.fetch_password(db, tenant_id=tenant_id, user_id=user_id)
    return stored


async def mark_verified(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, identifier: Identifier, now: datetime
) -> bool:
    """Note that an address reaches its user. Answers whether it is still theirs."""
    marked = await _queries.mark_verified(
        db,
        tenant_id=tenant_id,
        user_id=user_id,
        email=identifier.email,
        phone_number=identifier.phone_number,
        now=now,
    )
    return marked is not None


async def count_users(db: Connection, tenant_id: uuid.UUID) -> int:
    """Count a tenant's users."""
    count: int = await _queries.count_users(db, tenant_id=tenant_id)
    return count


async def is_tenant_open(db: Connection, tenant_id: uuid.UUID) -> bool:
    """Tell whether a tenant's users may sign in."""
    is_open: bool = await _queries.is_tenant_open(db, tenant_id=tenant_id)
    return is_open
