"""Register, verify addresses, and replace passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.actor import Actor, ActorKind, Role
from control_plane.core.ids import new_id
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.audit import service as audit
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Mail, Sms, Template
from control_plane.domains.sessions import service as sessions
from control_plane.domains.sign_in import lockout, store
from control_plane.domains.sign_in.errors import InvalidCredentials
from control_plane.domains.sign_in.model import Identifier
from control_plane.domains.sign_in.service import find_user
from control_plane.domains.tenants import service as tenants
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser
from control_plane.domains.verification import service as verification
from control_plane.domains.verification.errors import InvalidCode
from control_plane.domains.verification.model import Purpose

if TYPE_CHECKING:
    import uuid
    from datetime import datetime
    from typing import Any

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.sign_in.model import Registration
    from control_plane.domains.users.model import User


async def register(
    db: Connection, sealer: SealerSource, tenant_id: uuid.UUID, new: Registration, now: datetime
) -> tuple[uuid.UUID, str]:
    """Make a user, and send them a code: (user id, the token that the code is sent back with).

    Somebody who has this address already is told so by mail; whoever asked gets an id and a token that
    look the same and are nothing. A tenant's first user is its admin. Raises SeatsTaken.
    """
    await tenants.claim_seat(db, tenant_id)
    purpose = Purpose.EMAIL if new.identifier.email else Purpose.PHONE
    token = verification.make_verification_token(purpose, tenant_id)
    user_id = new_id()
    is_first = not await store.count_users(db, tenant_id)
    user = NewUser(
        email=new.identifier.email,
        phone_number=new.identifier.phone_number,
        password_hash=new.password_hash,
        full_name=new.full_name,
        role=Role.ADMIN if is_first else Role.VIEWER,
        language=new.language,
        affiliate_code=new.affiliate_code,
        terms_accepted_at=now if new.accepts_terms else None,
    )
    if not await users.insert_user(db, tenant_id, user_id, user, now):
        await _tell_owner(db, sealer, tenant_id, new.identifier, token=token, now=now)
        return user_id, token
    await audit.record(
        db,
        _themselves(tenant_id, user_id),
        tenant_id,
        "user.register",
        ("user", user_id),
        now=now,
        after={"email": user.email, "phone_number": user.phone_number, "role": user.role},
    )
    made = await users.fetch_user(db, tenant_id, user_id)
    assert made is not None
    await _send(db, sealer, made, purpose, token=token, now=now)
    return user_id, token


async def send_code_again(  # noqa: PLR0913  to whom, by which tokens, when
    db: Connection,
    sealer: SealerSource,
    tenant_id: uuid.UUID,
    previous_token: str,
    *,
    token: str,
    now: datetime,
) -> None:
    """Send a new code to whom a token's code went, used up or not, if it came within RESENT_WITHIN.

    By the token, not by the address: whoever has registered it with another password must not get it
    verified by its owner. Nothing is sent for an address that is verified already, or too soon.
    """
    found = await verification.find_recent(db, tenant_id, previous_token, now)
    user = None if found is None else await users.fetch_user(db, tenant_id, found.user_id)
    if found is None or user is None or not user.is_active or user.is_banned(now):
        return
    is_email = found.purpose is Purpose.EMAIL
    present, verified_at = (
        (user.email, user.email_verified_at) if is_email else (user.phone_number, user.phone_verified_at)
    )
    if present != found.destination or verified_at is not None:
        return
    await users.lock_user(db, tenant_id, user.id)
    if await verification.may_send(db, (tenant_id, user.id), found.purpose, now):
        await _send(db, sealer, user, found.purpose, token=token, now=now)


async def send_reset(  # noqa: PLR0913  to whom, by which token, when
    db: Connection,
    sealer: SealerSource,
    tenant_id: uuid.UUID,
    identifier: Identifier,
    *,
    token: str,
    now: datetime,
) -> None:
    """Send the token of a reset to whoever has this address; nothing to nobody, or too soon."""
    user = await find_user(db, tenant_id, identifier)
    if user is None or not user.is_active or user.is_banned(now):
        return
    await users.lock_user(db, tenant_id, user.id)
    if await verification.may_send(db, (tenant_id, user.id), Purpose.PASSWORD_RESET, now):
        by_sms = identifier.email is None
        await _send(db, sealer, user, Purpose.PASSWORD_RESET, token=token, now=now, by_sms=by_sms)


async def verify(db: Connection, token: str, purpose: Purpose, code: str, now: datetime) -> None:
    """Take a code back: its address is verified from now on. Raises InvalidCode."""
    redeemed = await verification.redeem(db, token, (purpose,), code, now)
    tenant_id = verification.tenant_of(token, verification.CODE_PREFIX)
    is_email = purpose is Purpose.EMAIL
    identifier = Identifier(
        email=redeemed.destination if is_email else None,
        phone_number=None if is_email else redeemed.destination,
    )
    if not await store.mark_verified(db, tenant_id, redeemed.user_id, identifier, now):
        raise InvalidCode
    await audit.record(
        db,
        _themselves(tenant_id, redeemed.user_id),
        tenant_id,
        f"user.verify_{purpose}",
        ("user", redeemed.user_id),
        now=now,
    )


async def reset_password(
    db: Connection, sealer: SealerSource, token: str, password_hash: str, now: datetime
) -> None:
    """Give the user of a reset token a new password, and end all their sessions. Raises InvalidCode.

    The token came by an address, which is verified by that. A second factor is asked for at the next
    sign-in all the same.
    """
    redeemed = await verification.redeem(db, token, (Purpose.PASSWORD_RESET,), None, now)
    tenant_id = verification.tenant_of(token, verification.RESET_PREFIX)
    identifier = (
        Identifier(email=redeemed.destination)
        if "@" in redeemed.destination
        else Identifier(phone_number=redeemed.destination)
    )
    if not await store.mark_verified(db, tenant_id, redeemed.user_id, identifier, now):
        raise InvalidCode("token")
    await users.set_password(db, tenant_id, redeemed.user_id, password_hash, now)
    await lockout.forget_failures(db, tenant_id, identifier)
    await sessions.revoke_sessions(db, tenant_id, redeemed.user_id, reason="password_reset", now=now)
    await _announce(db, sealer, _themselves(tenant_id, redeemed.user_id), "user.reset_password", now)


async def change_password(  # noqa: PLR0913  whose, from what, to what, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    *,
    identifier: Identifier,
    checked_hash: str | None,
    password_hash: str,
    now: datetime,
) -> None:
    """Give a user a new password, and end their other sessions. Raises InvalidCredentials.

    `checked_hash`: the one that the present password was checked against; another one took its place
    meanwhile if it is not there any more. `identifier`: whose wrong guesses, made beside this one, count.
    """
    tenant_id, user_id = actor.user_key
    await users.lock_user(db, tenant_id, user_id)
    if (
        await lockout.is_locked_by_now(db, tenant_id, identifier, None, now)
        or await store.fetch_password(db, tenant_id, user_id) != checked_hash
    ):
        raise InvalidCredentials
    await users.set_password(db, tenant_id, user_id, password_hash, now)
    await sessions.revoke_sessions(
        db, tenant_id, user_id, reason="password_changed", now=now, except_id=actor.credential_id
    )
    assert actor.credential_id is not None
    await sessions.mark_authenticated(db, tenant_id, actor.credential_id, now)
    await _announce(db, sealer, actor, "user.change_password", now)


async def _announce(db: Connection, sealer: SealerSource, actor: Actor, action: str, now: datetime) -> None:
    """Record that a password is another one, and tell its owner."""
    tenant_id, user_id = actor.user_key
    user = await users.fetch_user(db, tenant_id, user_id)
    if user is None:
        raise UserNotFound(user_id)
    await audit.record(db, actor, tenant_id, action, ("user", user_id), now=now)
    await _write(db, sealer, user, Template.PASSWORD_CHANGED, {}, by_sms=user.email is None)


async def _tell_owner(  # noqa: PLR0913  whom, by which token, when
    db: Connection,
    sealer: SealerSource,
    tenant_id: uuid.UUID,
    identifier: Identifier,
    *,
    token: str,
    now: datetime,
) -> None:
    """Tell a user that somebody, perhaps they, tried to register with their address; not ever so often."""
    user = await find_user(db, tenant_id, identifier)
    if user is None:
        return
    owner, by_sms = (tenant_id, user.id), identifier.email is None
    if await verification.may_send(db, owner, Purpose.NOTICE, now):
        await verification.issue(db, owner, Purpose.NOTICE, destination=identifier.text, token=token, now=now)
        await _write(db, sealer, user, Template.ALREADY_REGISTERED, {}, by_sms=by_sms)


async def _send(  # noqa: PLR0913  to whom, what, by which token and way, when
    db: Connection,
    sealer: SealerSource,
    user: User,
    purpose: Purpose,
    *,
    token: str,
    now: datetime,
    by_sms: bool | None = None,
) -> None:
    by_sms = purpose is Purpose.PHONE if by_sms is None else by_sms
    destination = user.phone_number if by_sms else user.email
    assert destination is not None
    issued = await verification.issue(
        db, (user.tenant_id, user.id), purpose, destination=destination, token=token, now=now
    )
    if purpose is Purpose.PASSWORD_RESET:
        data: dict[str, Any] = {"token": issued.token, "minutes": issued.minutes}
        await _write(db, sealer, user, Template.PASSWORD_RESET, data, by_sms=by_sms)
        return
    template = Template.VERIFY_PHONE if by_sms else Template.VERIFY_EMAIL
    data = {"code": issued.code, "minutes": issued.minutes}
    await _write(db, sealer, user, template, data, by_sms=by_sms)


async def _write(  # noqa: PLR0913  to whom, what, by which way
    db: Connection,
    sealer: SealerSource,
    user: User,
    template: Template,
    data: dict[str, Any],
    *,
    by_sms: bool,
) -> None:
    """Enqueue a message to a user's address or number."""
    to = user.phone_number if by_sms else user.email
    if to is not None:
        kind = Sms if by_sms else Mail
        message = kind(tenant_id=user.tenant_id, to=to, template=template, language=user.language, data=data)
        await messages.send(db, sealer, message)


def _themselves(tenant_id: uuid.UUID, user_id: uuid.UUID) -> Actor:
    """Give the actor of what a user does before they are signed in."""
    return Actor(kind=ActorKind.USER, tenant_id=tenant_id, user_id=user_id)
