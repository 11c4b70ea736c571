"""Begin, carry on, recognise and end sessions.

An access token is looked up with its session at every use, so that whatever ends a session (logout, a
ban, a stolen refresh token) holds everywhere at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from control_plane.core.actor import Actor, ActorKind, Role
from control_plane.core.ids import new_id
from control_plane.core.opaque_tokens import hash_token, make_token, read_tenant
from control_plane.core.tokens import InvalidToken, issue_token
from control_plane.domains.sessions import store
from control_plane.domains.sessions.errors import (
    InvalidRefreshToken,
    ReauthenticationRequired,
    SessionNotFound,
)
from control_plane.domains.sessions.model import IssuedTokens

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.tokens import TokenClaims
    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device, Session, SessionPolicy

REFRESH_PREFIX: Final = "syr_"

REUSE_GRACE: Final = timedelta(seconds=10)
"""A token that comes back so soon is a client's retry or its second tab: refused, but no theft."""

RECENTLY: Final = timedelta(minutes=10)
"""How long after proving who they are a user may change how they prove it."""


async def start_session(
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> IssuedTokens:
    """Begin a session for a user who has just proved who they are, with all the factors they have.

    `owner`: (tenant id, user id).
    """
    tenant_id, user_id = owner
    session_id = new_id()
    expires_at = now + timedelta(seconds=policy.session_ttl_s)
    await store.insert_session(db, tenant_id, user_id, session_id, device, now=now, expires_at=expires_at)
    return await _issue(db, (tenant_id, user_id, session_id), policy, parent_hash=None, now=now)


async def refresh(db: Connection, refresh_token: str, policy: SessionPolicy, now: datetime) -> IssuedTokens:
    """Exchange a refresh token for new tokens. Raises InvalidRefreshToken.

    `db`: in the transaction of the token's tenant (`tenant_of`). A token that comes back later than
    REUSE_GRACE after it was used up is in two hands, so its session ends.
    """
    tenant_id, token_hash = tenant_of(refresh_token), hash_token(refresh_token)
    found = await store.consume_token(db, tenant_id, token_hash, now)
    if found is None:
        consumed = await store.fetch_consumed(db, tenant_id, token_hash)
        if consumed is not None and now - consumed[1] > REUSE_GRACE:
            await store.revoke_family(db, tenant_id, consumed[0], reason="refresh_token_reused", now=now)
        raise InvalidRefreshToken
    session_id, user_id = found
    await store.touch_session(db, tenant_id, session_id, now)
    return await _issue(db, (tenant_id, user_id, session_id), policy, parent_hash=token_hash, now=now)


def tenant_of(refresh_token: str) -> uuid.UUID:
    """Give the tenant that a refresh token names. Raises InvalidRefreshToken."""
    tenant_id = read_tenant(refresh_token, REFRESH_PREFIX)
    if tenant_id is None:
        raise InvalidRefreshToken
    return tenant_id


async def authenticate(db: Connection, claims: TokenClaims, now: datetime) -> Actor:
    """Recognise the user of an access token. Raises InvalidToken unless its session is alive.

    It is not when it was revoked, or its user was banned, deactivated or deleted, or its tenant suspended.
    """
    if claims.tenant_id is None or claims.session_id is None:
        raise InvalidToken
    row = await store.authenticate(db, claims.tenant_id, claims.session_id, claims.user_id, now)
    if row is None:
        raise InvalidToken
    return Actor(
        kind=ActorKind.USER,
        tenant_id=claims.tenant_id,
        user_id=claims.user_id,
        credential_id=claims.session_id,
        role=Role(row["role"]),
        is_superadmin=row["is_superadmin"],
        authenticated_at=row["authenticated_at"],
    )


def require_recent_authentication(actor: Actor, now: datetime) -> None:
    """Raise ReauthenticationRequired unless the actor has proved RECENTLY who they are."""
    if actor.authenticated_at is None or now - actor.authenticated_at > RECENTLY:
        raise ReauthenticationRequired


async def mark_authenticated(
    db: Connection, tenant_id: uuid.UUID, session_id: uuid.UUID, now: datetime
) -> None:
    """Note that a session's user has proved anew who they are."""
    await store.mark_authenticated(db, tenant_id, session_id, now)


async def list_sessions(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> list[Session]:
    """List a user's live sessions, the one used last first."""
    return await store.list_sessions(db, tenant_id, user_id, now)


async def revoke_session(  # noqa: PLR0913  which session, why, when
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    session_id: uuid.UUID,
    *,
    reason: str,
    now: datetime,
) -> None:
    """End a session of a user: its tokens are refused from this moment on. Raises SessionNotFound."""
    if not await store.revoke_session(db, tenant_id, user_id, session_id, reason=reason, now=now):
        raise SessionNotFound


async def revoke_sessions(  # noqa: PLR0913  whose sessions, which not, why, when
    db: Connection,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    *,
    reason: str,
    now: datetime,
    except_id: uuid.UUID | None = None,
) -> None:
    """End every session of a user, but for the one that they are in, if that is to stay."""
    await store.revoke_sessions(db, tenant_id, user_id, except_id=except_id, reason=reason, now=now)


async def _issue(
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID, uuid.UUID],
    policy: SessionPolicy,
    *,
    parent_hash: bytes | None,
    now: datetime,
) -> IssuedTokens:
    """Issue the next tokens of a session. `owner`: (tenant id, user id, session id)."""
    tenant_id, user_id, session_id = owner
    refresh_token = make_token(REFRESH_PREFIX, tenant_id)
    await store.insert_token(
        db, tenant_id, session_id, hash_token(refresh_token), parent_hash=parent_hash, now=now
    )
    return IssuedTokens(
        tenant_id=tenant_id,
        user_id=user_id,
        session_id=session_id,
        access_token=issue_token(
            user_id,
            secret=policy.secret,
            issuer=policy.issuer,
            now=now,
            ttl_s=policy.access_token_ttl_s,
            session=(tenant_id, session_id),
        ),
        refresh_token=refresh_token,
        expires_in_s=policy.access_token_ttl_s,
    )
