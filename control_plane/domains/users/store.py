"""Rows of users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from control_plane.core.actor import Role
from control_plane.db.pool import load_queries
from control_plane.domains.users.model import User

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.users.model import NewUser, UserFilters

_queries = load_queries(Path(__file__).with_name("queries.sql"))

PROFILE = (
    "full_name",
    "avatar_id",
    "avatar_url",
    "slogan",
    "about_me",
    "company_name",
    "website_name",
    "birth_date",
    "gender",
    "email_tell_me",
    "sms_tell_me",
    "push_tell_me",
    "telegram_tell_me",
)
"""Columns that users change about themselves."""

MEMBER = ("email", "email_verified_at", "full_name", "role", "is_active")
"""Columns that admins change about users."""


async def insert_user(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, new: NewUser, now: datetime
) -> bool:
    """Add a user to a tenant. Answers whether address and number were free."""
    columns = msgspec.structs.asdict(new)
    inserted = await _queries.insert_user(db, tenant_id=tenant_id, user_id=user_id, now=now, **columns)
    return inserted is not None


async def fetch_user(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> User | None:
    """Find a user who is not deleted."""
    return _read_user(await _queries.fetch_user(db, tenant_id=tenant_id, user_id=user_id))


async def find_by_email(db: Connection, tenant_id: uuid.UUID, email: str) -> User | None:
    """Find a user by address, whatever its case."""
    return _read_user(await _queries.find_by_email(db, tenant_id=tenant_id, email=email))


async def find_by_phone(db: Connection, tenant_id: uuid.UUID, phone_number: str) -> User | None:
    """Find a user by phone number in E.164."""
    return _read_user(await _queries.find_by_phone(db, tenant_id=tenant_id, phone_number=phone_number))


async def find_tenant(db: Connection, user_id: uuid.UUID) -> uuid.UUID | None:
    """Find a user's tenant. `db`: of the system."""
    found: uuid.UUID | None = await _queries.find_tenant(db, user_id=user_id)
    return found


async def find_id_by_number(db: Connection, tenant_id: uuid.UUID, number: int) -> uuid.UUID | None:
    """Find a user of a tenant by the growth contract's id."""
    found: uuid.UUID | None = await _queries.find_id_by_number(db, tenant_id=tenant_id, number=number)
    return found


async def list_users(
    db: Connection, tenant_id: uuid.UUID | None, filters: UserFilters, page: PageRequest
) -> tuple[list[User], int]:
    """List a page of users, newest first, and count all. `tenant_id`: None for those of all tenants."""
    chosen = {"tenant_id": tenant_id} | msgspec.structs.asdict(filters)
    total: int = await _queries.count_users(db, **chosen)
    rows = _queries.list_users(db, **chosen, limit=page.per_page, offset=page.offset)
    return [_build_user(row) async for row in rows], total


async def count_other_admins(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime) -> int:
    """Count who could look after a tenant in a user's place."""
    count: int = await _queries.count_other_admins(db, tenant_id=tenant_id, user_id=user_id, now=now)
    return count


async def lock_user(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Wait until nobody else changes a user."""
    await _queries.lock_user(db, tenant_id=tenant_id, user_id=user_id)


async def update_profile(db: Connection, user: User, now: datetime) -> None:
    """Write what users change about themselves."""
    columns = {name: getattr(user, name) for name in PROFILE}
    await _queries.update_profile(db, tenant_id=user.tenant_id, user_id=user.id, now=now, **columns)


async def update_member(db: Connection, user: User, now: datetime) -> bool:
    """Write what admins change about users. Answers whether the address was free."""
    columns = {name: getattr(user, name) for name in MEMBER}
    try:
        async with db.transaction():
            await _queries.update_member(db, tenant_id=user.tenant_id, user_id=user.id, now=now, **columns)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def set_password(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, password_hash: str, now: datetime
) -> None:
    """Write the hash of a user's new password."""
    await _queries.set_password(
        db, tenant_id=tenant_id, user_id=user_id, password_hash=password_hash, now=now
    )


async def set_ban(db: Connection, user: User, reason: str | None, now: datetime) -> None:
    """Write whether and until when a user is banned, and why."""
    await _queries.set_ban(
        db,
        tenant_id=user.tenant_id,
        user_id=user.id,
        banned_at=user.banned_at,
        banned_until=user.banned_until,
        reason=reason,
        now=now,
    )


async def delete_user(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime) -> None:
    """Mark a user as deleted, and forget who they are elsewhere and where their browsers are."""
    await _queries.delete_user(db, tenant_id=tenant_id, user_id=user_id, now=now)
    await _queries.delete_ties(db, tenant_id=tenant_id, user_id=user_id)


def _read_user(row: Mapping[str, Any] | None) -> User | None:
    return None if row is None else _build_user(row)


def _build_user(row: Mapping[str, Any]) -> User:
    return User(**(dict(row) | {"role": Role(row["role"])}))
