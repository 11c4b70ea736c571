"""Tenants and their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.ids import new_id
from control_plane.domains.accounts import store
from control_plane.domains.accounts.errors import ApiAccessDenied, UserNotFound

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account


async def create_tenant_with_user(
    db: Connection, *, tenant_name: str, email: str, plan_code: str, now: datetime
) -> Account:
    """Create a tenant on a plan (`plans.code`), with its first user."""
    tenant_id, user_id = new_id(), new_id()
    await store.insert_tenant(db, tenant_id, name=tenant_name, plan_code=plan_code, now=now)
    await store.insert_user(db, tenant_id, user_id, email=email, now=now)
    return await fetch_account(db, user_id)


async def fetch_account(db: Connection, user_id: uuid.UUID) -> Account:
    """Find a user with their tenant and plan. Raises UserNotFound."""
    account = await store.fetch_account(db, user_id)
    if account is None:
        raise UserNotFound(user_id)
    return account


def require_api_access(account: Account) -> None:
    """Raise ApiAccessDenied unless the account's plan includes the API."""
    if not account.plan.api_access:
        raise ApiAccessDenied(account.plan.code)
