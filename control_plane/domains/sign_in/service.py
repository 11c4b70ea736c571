"""Sign in: whichever way a user proves who they are, it ends in `open_session`.

A password is checked between two transactions, so that no connection waits for it: `look_up` says what
to check it against, `settle` what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.actor import Actor, ActorKind
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.audit import service as audit
from control_plane.domains.mfa import service as mfa
from control_plane.domains.mfa.errors import MfaRequired
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sign_in import lockout, store
from control_plane.domains.sign_in.errors import InvalidCredentials, VerificationRequired
from control_plane.domains.sign_in.model import Candidate, Identifier
from control_plane.domains.users import store as users

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.passwords.service import Verdict
    from control_plane.domains.sessions.model import Device, IssuedTokens, SessionPolicy
    from control_plane.domains.users.model import User


async def look_up(
    db: Connection, tenant_id: uuid.UUID, identifier: Identifier, ip_address: str | None, now: datetime
) -> Candidate:
    """Find whom an identifier means, if anybody, and what their password is checked against."""
    is_locked = await lockout.is_locked(db, tenant_id, identifier, ip_address, now)
    user = await find_user(db, tenant_id, identifier)
    if user is None:
        return Candidate(is_locked=is_locked)
    return Candidate(user, await store.fetch_password(db, tenant_id, user.id), is_locked)


async def settle(  # noqa: PLR0913  who, what came of it, where, how long, when
    db: Connection,
    tenant_id: uuid.UUID,
    identifier: Identifier,
    candidate: Candidate,
    *,
    verdict: Verdict,
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> IssuedTokens:
    """Begin a session after a right password; count a wrong one.

    Raises InvalidCredentials, VerificationRequired, MfaRequired. Who is locked is refused with a right
    password too, and nothing is counted.
    """
    user = candidate.user
    if user is not None and verdict.is_right:
        # Until the end: a new password or a ban comes before this session, or ends it.
        await users.lock_user(db, tenant_id, user.id)
    if candidate.is_locked or await lockout.is_locked_by_now(
        db, tenant_id, identifier, device.ip_address, now
    ):
        raise InvalidCredentials
    if user is None or not verdict.is_right or not await _is_welcome(db, user, candidate, now):
        await _count_failure(db, tenant_id, identifier, user, device=device, now=now)
        raise InvalidCredentials
    await lockout.forget_failures(db, tenant_id, identifier)
    verified_at = user.email_verified_at if identifier.email else user.phone_verified_at
    if verified_at is None:
        raise VerificationRequired
    return await open_session(db, (tenant_id, user.id), device, policy, now)


async def look_up_own(
    db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> tuple[Identifier, str | None, bool]:
    """Give how a user is called, the hash of their password, and whether they have to wait."""
    user = await users.fetch_user(db, tenant_id, user_id)
    if user is None:
        raise UserNotFound(user_id)
    identifier = Identifier(email=user.email) if user.email else Identifier(phone_number=user.phone_number)
    is_locked = await lockout.is_locked(db, tenant_id, identifier, None, now)
    return identifier, await store.fetch_password(db, tenant_id, user_id), is_locked


async def store_rehashed(db: Connection, tokens: IssuedTokens, password_hash: str, now: datetime) -> None:
    """Keep the password of who has just signed in with today's cost."""
    await users.set_password(db, tokens.tenant_id, tokens.user_id, password_hash, now)


async def open_session(
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> IssuedTokens:
    """Begin the session of a user whose first factor was right. Raises MfaRequired if they have a second.

    `owner`: (tenant id, user id).
    """
    mfa_token = await mfa.begin_challenge(db, owner, device, now)
    if mfa_token is not None:
        raise MfaRequired(mfa_token)
    return await sessions.start_session(db, owner, device, policy, now)


async def find_user(db: Connection, tenant_id: uuid.UUID, identifier: Identifier) -> User | None:
    """Find the user who has an address or a number."""
    if identifier.email is not None:
        return await users.find_by_email(db, tenant_id, identifier.email)
    assert identifier.phone_number is not None
    return await users.find_by_phone(db, tenant_id, identifier.phone_number)


async def _is_welcome(db: Connection, user: User, candidate: Candidate, now: datetime) -> bool:
    """Tell whether a user may sign in, and has the password that was checked, now that it was checked."""
    present = await users.fetch_user(db, user.tenant_id, user.id)
    return (
        present is not None
        and present.is_active
        and not present.is_banned(now)
        and await store.fetch_password(db, user.tenant_id, user.id) == candidate.password_hash
        and await store.is_tenant_open(db, user.tenant_id)
    )


async def _count_failure(  # noqa: PLR0913  who, where, when
    db: Connection,
    tenant_id: uuid.UUID,
    identifier: Identifier,
    user: User | None,
    *,
    device: Device,
    now: datetime,
) -> None:
    """Count a failure, and leave a trace of the lock that it makes on somebody's account."""
    locked_until = await lockout.count_failure(db, tenant_id, identifier, device.ip_address, now)
    if user is not None and locked_until is not None:
        await audit.record(
            db,
            Actor(kind=ActorKind.SYSTEM, ip_address=device.ip_address),
            tenant_id,
            "user.lock",
            ("user", user.id),
            now=now,
            after={"locked_until": locked_until},
        )
