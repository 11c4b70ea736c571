"""Users as the growth contract shapes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from control_plane.core.actor import Role
from control_plane.dialects.schemas import Moment

if TYPE_CHECKING:
    from control_plane.domains.users.model import User


class UserOut(msgspec.Struct, frozen=True, kw_only=True):
    """A user. `id`, `tenant_id`: numbers, as in all of this contract."""

    id: int
    email: str | None
    full_name: str | None
    role: Role
    tenant_id: int
    is_active: bool
    email_verified: bool
    last_active_at: Moment | None
    created_at: Moment
    updated_at: Moment


def show_user(user: User, tenant_number: int) -> UserOut:
    """Shape a user. `tenant_number`: of their tenant."""
    return UserOut(
        id=user.number,
        email=user.email,
        full_name=user.full_name,
        role=user.role,
        tenant_id=tenant_number,
        is_active=user.is_active,
        email_verified=user.email_verified_at is not None,
        last_active_at=user.last_active_at,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
