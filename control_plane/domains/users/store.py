"""Rows of users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.actor import Role
from control_plane.db.pool import load_queries
from control_plane.domains.users.model import User

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.users.model import NewUser

_queries = load_queries(Path(__file__).with_name("queries.sql"))


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


def _read_user(row: Mapping[str, Any] | None) -> User | None:
    return None if row is None else User(**(dict(row) | {"role": Role(row["role"])}))
