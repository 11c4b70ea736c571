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


async def fetch_account(db: Connection, user_id: uuid.UUID, now: datetime) -> Account | None:
    """Find a user who may act, with their plan."""
    row = await _queries.fetch_account(db, user_id=user_id, now=now)
    return None if row is None else read_account(row)


async def appoint(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, password_hash: str, now: datetime
) -> None:
    """Make a user a superadmin with this password, whatever kept them out before."""
    await _queries.appoint(db, tenant_id=tenant_id, user_id=user_id, password_hash=password_hash, now=now)


def read_account(row: Mapping[str, Any]) -> Account:
    """Build an Account from a row that has the columns of fetch_account."""
    plan = Plan(row["code"], row["name"], row["api_access"], row["api_requests_per_hour"])
    return Account(row["tenant_id"], row["user_id"], plan)
