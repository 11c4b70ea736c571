"""Rows of tenants, users and plans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.db.pool import load_queries
from control_plane.domains.accounts.model import Account, Plan

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_tenant(
    db: Connection, tenant_id: uuid.UUID, *, name: str, plan_code: str, now: datetime
) -> None:
    """Add a tenant."""
    await _queries.insert_tenant(db, tenant_id=tenant_id, name=name, plan_code=plan_code, now=now)


async def insert_user(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, *, email: str, now: datetime
) -> None:
    """Add a user to a tenant."""
    await _queries.insert_user(db, tenant_id=tenant_id, user_id=user_id, email=email, now=now)


async def fetch_account(db: Connection, user_id: uuid.UUID) -> Account | None:
    """Find a user with their plan."""
    row = await _queries.fetch_account(db, user_id=user_id)
    return None if row is None else read_account(row)


async def fetch_tenant_number(db: Connection, tenant_id: uuid.UUID) -> int:
    """Give a tenant's number, the growth contract's id of it."""
    number: int = await _queries.fetch_tenant_number(db, tenant_id=tenant_id)
    return number


def read_account(row: Mapping[str, Any]) -> Account:
    """Build an Account from a row that has the columns of fetch_account."""
    plan = Plan(row["code"], row["name"], row["api_access"], row["api_requests_per_hour"])
    return Account(row["tenant_id"], row["user_id"], plan)
