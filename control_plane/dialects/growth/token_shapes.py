"""Tokens as the growth contract shapes them: with the user whom they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from control_plane.domains.sessions.model import IssuedTokens
    from control_plane.domains.users.model import User


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


def show_login(user: User, tokens: IssuedTokens, tenant_number: int) -> LoginOut:
    """Shape a sign-in."""
    return LoginOut(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in_s,
        user=LoginUserOut(
            id=user.number,
            email=user.email,
            full_name=user.full_name,
            role=user.role.value,
            tenant_id=tenant_number,
        ),
    )
