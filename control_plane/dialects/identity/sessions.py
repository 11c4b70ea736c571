"""Sessions: carry on, list, end."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.identity.token_answers import (
    TokensOut,
    answer_tokens,
    drop_cookie,
    present_tokens,
    read_refresh_token,
)
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.sessions import service
from control_plane.domains.sessions.errors import SessionNotFound


class RefreshIn(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token that was not used before. Only a page that keeps it in a cookie may leave it out."""

    refresh_token: Annotated[str, Meta(max_length=512)] = ""


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


@post("/auth/refresh", status_code=200, dto=JsonBody[RefreshIn], return_dto=None)
async def refresh_tokens(
    request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[Decoded[RefreshIn]]
) -> Response[TokensOut]:
    """Exchange a refresh token for new tokens. It serves once: coming back later, it ends its session.

    A page that keeps the token in a cookie sends X-Refresh-Cookie: 1 and no token.
    """
    token, now = read_refresh_token(request, accept(data).refresh_token), services.clock()
    async with services.transaction(service.tenant_of(token)) as db:
        tokens = await service.refresh(db, token, services.session_policy, now)
        return answer_tokens(request, await present_tokens(db, tokens, now))


@post("/auth/logout", status_code=204)
async def logout(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> Response[None]:
    """End the session that the caller is in."""
    assert actor.credential_id is not None
    tenant_id, user_id = actor.user_key
    async with services.transaction(tenant_id) as db:
        await service.revoke_session(
            db, tenant_id, user_id, actor.credential_id, reason="logout", now=services.clock()
        )
    return drop_cookie(request, Response(None, status_code=204))


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
