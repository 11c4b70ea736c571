"""Users, tenants and tokens as the identity contract shapes them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.actor import Role
from control_plane.dialects.schemas import Moment
from control_plane.domains.usage import service as usage

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.usage.model import RenderAllowance
    from control_plane.domains.users.model import User


class UserOut(msgspec.Struct, frozen=True, kw_only=True):
    """A user. A render is a redirect: how many their tenant has a day, and how many are left today.

    2147483647 stands for as many as they like. The ceiling is how many the plan promises to serve at once.
    """

    id: uuid.UUID
    tenant_id: uuid.UUID
    email: str | None
    email_verified: bool
    phone_number: str | None
    phone_verified: bool
    full_name: str | None
    avatar_url: str | None
    is_admin: bool
    is_tenant_admin: bool
    register_mode: str
    last_active_date: Moment
    balance_minor: int
    affiliate_balance_minor: int
    loyalty_score: int
    daily_remain_render_count: int
    max_daily_render_count: int
    parallel_rendering_ceiling: int
    used_storage_bytes: int
    register_date: Moment


async def present_user(db: Connection, user: User, now: datetime) -> UserOut:
    """Look up what a user's tenant has left today, and shape the user."""
    return show_user(user, await usage.fetch_allowance(db, user.tenant_id, now))


def show_user(user: User, allowance: RenderAllowance) -> UserOut:
    """Shape a user."""
    return UserOut(**user_fields(user, allowance))


def user_fields(user: User, allowance: RenderAllowance) -> dict[str, Any]:
    """Give the fields of UserOut, for shapes that have more."""
    return {
        "id": user.id,
        "tenant_id": user.tenant_id,
        "email": user.email,
        "email_verified": user.email_verified_at is not None,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified_at is not None,
        "full_name": user.full_name,
        "avatar_url": user.avatar_url,
        "is_admin": user.is_superadmin,
        "is_tenant_admin": user.role is Role.ADMIN,
        "register_mode": user.register_mode,
        "last_active_date": user.last_active_at or user.created_at,
        "balance_minor": user.balance_minor,
        "affiliate_balance_minor": user.affiliate_balance_minor,
        "loyalty_score": user.loyalty_score,
        "daily_remain_render_count": allowance.left_today,
        "max_daily_render_count": allowance.per_day,
        "parallel_rendering_ceiling": allowance.at_once,
        "used_storage_bytes": user.used_storage_bytes,
        "register_date": user.created_at,
    }
