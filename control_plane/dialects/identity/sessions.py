"""Sessions: carry on, list, end."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.sessions import service
from control_plane.domains.sessions.errors import SessionNotFound
from control_plane.domains.sessions.model import IssuedTokens


class RefreshIn(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token that was not used before."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=512)]


class TokensOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a client goes on with."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105  the scheme's name
    expires_in: int


class SessionOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session that is alive."""

    id: uuid.UUID
    device_name: str | None = None
    user_agent: str | None = None
    ip_address: str | None = None
    issued_at: Moment
    last_used_at: Moment
    is_current: bool


class SessionListOut(msgspec.Struct, frozen=True):
    """The user's live sessions."""

    sessions: list[SessionOut]


def show_tokens(tokens: IssuedTokens) -> TokensOut:
    """Shape tokens."""
    return TokensOut(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in_s,
    )


@post("/auth/refresh", status_code=200, dto=JsonBody[RefreshIn], return_dto=None)
async def refresh_tokens(
    services: NamedDependency[Services], data: JSONBody[Decoded[RefreshIn]]
) -> TokensOut:
    """Exchange a refresh token for new tokens. It serves once: coming back later, it ends its session."""
    token = accept(data).refresh_token
    async with services.transaction(service.tenant_of(token)) as db:
        return show_tokens(await service.refresh(db, token, services.session_policy, services.clock()))


@post("/auth/logout", status_code=204)
async def logout(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> None:
    """End the session that the caller is in."""
    assert actor.credential_id is not None
    tenant_id, user_id = actor.user_key
    async with services.transaction(tenant_id) as db:
        await service.revoke_session(
            db, tenant_id, user_id, actor.credential_id, reason="logout", now=services.clock()
        )


@get("/auth/sessions")
async def list_sessions(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> SessionListOut:
    """List the caller's live sessions, the one used last first."""
    tenant_id, user_id = actor.user_key
    async with services.snapshot(tenant_id) as db:
        found = await service.list_sessions(db, tenant_id, user_id, services.clock())
    return SessionListOut(
        [
            SessionOut(**msgspec.structs.asdict(session), is_current=session.id == actor.credential_id)
            for session in found
        ]
    )


@delete("/auth/sessions/{session_id:str}", status_code=204)
async def revoke_session(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> None:
    """End one of the caller's sessions: its tokens are refused from this moment on."""
    tenant_id, user_id = actor.user_key
    session_id = read_id(request, "session_id", SessionNotFound())
    async with services.transaction(tenant_id) as db:
        await service.revoke_session(
            db, tenant_id, user_id, session_id, reason="revoked_by_user", now=services.clock()
        )
