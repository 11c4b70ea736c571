"""Tenants and their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.actor import Role
from control_plane.core.ids import new_id
from control_plane.domains.accounts import store
from control_plane.domains.accounts.errors import ApiAccessDenied, UserNotFound
from control_plane.domains.tenants import service as tenants
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account


async def create_tenant_with_user(
    db: Connection, *, tenant_name: str, email: str, plan_code: str, now: datetime
) -> Account:
    """Create a tenant on a plan (`plans.code`), with its first user, who is its admin."""
    tenant_id, user_id = await tenants.create_named_tenant(db, tenant_name, plan_code, now), new_id()
    await users.insert_user(db, tenant_id, user_id, NewUser(email=email, role=Role.ADMIN), now)
    return await fetch_account(db, user_id, now)


async def fetch_account(db: Connection, user_id: uuid.UUID, now: datetime) -> Account:
    """Find a user who may act, with their tenant and plan. Raises UserNotFound.

    Nobody may who is deleted, deactivated or banned, or whose tenant is suspended.
    """
    account = await store.fetch_account(db, user_id, now)
    if account is None:
        raise UserNotFound(user_id)
    return account


def require_api_access(account: Account) -> None:
    """Raise ApiAccessDenied unless the account's plan includes the API."""
    if not account.plan.api_access:
        raise ApiAccessDenied(account.plan.code)
