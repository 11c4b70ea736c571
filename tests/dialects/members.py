"""Users who are signed in, and a client for each."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import httpx

from control_plane.core.actor import Role
from control_plane.core.ids import new_id
from control_plane.domains.accounts import service as accounts
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sessions.model import Device, SessionPolicy
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    import asyncpg

    from control_plane.domains.sessions.model import IssuedTokens
    from control_plane.settings import Settings


class Member:
    """A user of a tenant with a live session; `api` calls in their name."""

    def __init__(self, app: Any, tokens: IssuedTokens, email: str) -> None:
        self.tenant_id = tokens.tenant_id
        self.user_id = tokens.user_id
        self.session_id = tokens.session_id
        self.tokens = tokens
        self.email = email
        self.api = client_of(app, {"Authorization": f"Bearer {tokens.access_token}"})


def client_of(app: Any, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Make a client of the API, at its root."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)


async def make_tenant(pool: asyncpg.Pool, now: datetime) -> uuid.UUID:
    """Make a tenant with a first user whom nobody uses."""
    async with pool.acquire() as db, db.transaction():
        account = await accounts.create_tenant_with_user(
            db, tenant_name="Acme", email=f"{secrets.token_hex(4)}@acme.test", plan_code="growth", now=now
        )
    return account.tenant_id


async def make_member(  # noqa: PLR0913  what tests vary
    app: Any,
    pool: asyncpg.Pool,
    settings: Settings,
    now: datetime,
    *,
    tenant_id: uuid.UUID | None = None,
    role: Role = Role.ADMIN,
    is_superadmin: bool = False,
    **changes: Any,
) -> Member:
    """Make a signed-in user, in a tenant of their own unless one is given. `changes`: fields of NewUser."""
    tenant_id = tenant_id or await make_tenant(pool, now)
    user_id, email = new_id(), changes.pop("email", f"{secrets.token_hex(6)}@acme.test")
    new = NewUser(email=email, role=role, is_superadmin=is_superadmin, **changes)
    policy = SessionPolicy(
        settings.jwt_secret, "", settings.jwt_issuer, settings.access_token_ttl_s, settings.session_ttl_s
    )
    async with pool.acquire() as db, db.transaction():
        assert await users.insert_user(db, tenant_id, user_id, new, now)
        tokens = await sessions.start_session(db, (tenant_id, user_id), Device(), policy, now)
    return Member(app, tokens, email)
