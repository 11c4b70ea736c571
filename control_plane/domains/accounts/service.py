"""Tenants and their users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core.actor import SYSTEM, Role
from control_plane.core.ids import new_id
from control_plane.domains.accounts import store
from control_plane.domains.accounts.errors import ApiAccessDenied, UserNotFound
from control_plane.domains.audit import service as audit
from control_plane.domains.sessions import service as sessions
from control_plane.domains.tenants import service as tenants
from control_plane.domains.tenants import store as tenants_store
from control_plane.domains.tenants.errors import TenantNotFound
from control_plane.domains.tenants.model import NewTenant
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account

LARGEST_PLAN: Final = "scale"
"""Of a tenant that the operator makes: a first look must not end at a rate limit."""


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


async def appoint_superadmin(
    db: Connection, *, tenant_slug: str, email: str, password_hash: str, now: datetime
) -> Account:
    """Give a tenant a superadmin with this address; tenant and user are made if they are not there.

    A user who is there gets the new password, and their sessions end: the way back in for an operator.
    """
    tenant_id = await tenants_store.find_id_by_slug(db, tenant_slug)
    if tenant_id is None:
        tenant_id = new_id()
        new = NewTenant(slug=tenant_slug, name=tenant_slug.title(), plan_code=LARGEST_PLAN, kind="Internal")
        if not await tenants_store.insert_tenant(db, tenant_id, new, now):
            raise TenantNotFound  # there, but suspended
    user = await users.find_by_email(db, tenant_id, email)
    user_id = new_id() if user is None else user.id
    if user is None:
        await users.insert_user(db, tenant_id, user_id, NewUser(email=email, role=Role.ADMIN), now)
    await store.appoint(db, tenant_id, user_id, password_hash, now)
    await sessions.revoke_sessions(db, tenant_id, user_id, reason="appointed", now=now)
    await audit.record(db, SYSTEM, tenant_id, "user.appoint", ("user", user_id), now=now)
    return await fetch_account(db, user_id, now)


def require_api_access(account: Account) -> None:
    """Raise ApiAccessDenied unless the account's plan includes the API."""
    if not account.plan.api_access:
        raise ApiAccessDenied(account.plan.code)
