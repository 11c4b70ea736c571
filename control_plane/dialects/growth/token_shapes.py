"""Tokens as the growth contract shapes them: with the user whom they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from control_plane.domains.tenants import service as tenants
from control_plane.domains.users import service as users

if TYPE_CHECKING:
    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import IssuedTokens


class LoginUserOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in."""

    id: int
    email: str | None
    full_name: str | None
    role: str
    tenant_id: int


class LoginOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a client goes on with."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105  the scheme's name
    expires_in: int
    user: LoginUserOut


async def present_login(db: Connection, tokens: IssuedTokens) -> LoginOut:
    """Shape a sign-in, with the user whom it is for."""
    user = await users.fetch_user(db, tokens.tenant_id, tokens.user_id)
    tenant = await tenants.fetch_tenant(db, tokens.tenant_id)
    return LoginOut(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in_s,
        user=LoginUserOut(
            id=user.number,
            email=user.email,
            full_name=user.full_name,
            role=user.role.value,
            tenant_id=tenant.number,
        ),
    )
