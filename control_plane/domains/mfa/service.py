"""The second step of a sign-in: a challenge, which a code of any verified factor meets.

A challenge lasts five minutes, takes five tries and is met once. Its mfa_token is opaque and of a kind of
its own: it is neither an access token nor a refresh token.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.actor import Actor, ActorKind
from control_plane.core.opaque_tokens import hash_token, make_token, read_tenant
from control_plane.domains.mfa import sms_codes, store
from control_plane.domains.mfa.checks import check_code
from control_plane.domains.mfa.errors import InvalidMfaCode, InvalidMfaToken, NoSmsFactor
from control_plane.domains.mfa.sms_codes import Purpose, Use
from control_plane.domains.sessions import service as sessions

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.mfa.model import Challenge, Holder
    from control_plane.domains.sessions.model import Device, IssuedTokens, SessionPolicy

CHALLENGE_PREFIX: Final = "sym_"
CHALLENGE_LASTS: Final = timedelta(minutes=5)
CHALLENGE_ATTEMPTS: Final = 5


async def begin_challenge(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], device: Device, now: datetime
) -> str | None:
    """Begin the second step of a sign-in; give its mfa_token, None for a user with no second factor.

    `owner`: (tenant id, user id). The token is no access token: it is opaque, and opens nothing but
    the challenge.
    """
    if not await store.has_factor(db, owner):
        return None
    token = make_token(CHALLENGE_PREFIX, owner[0])
    await store.insert_challenge(
        db, owner, hash_token(token), device, now=now, expires_at=now + CHALLENGE_LASTS
    )
    return token


def tenant_of(mfa_token: str) -> uuid.UUID:
    """Give the tenant that an mfa_token names. Raises InvalidMfaToken."""
    tenant_id = read_tenant(mfa_token, CHALLENGE_PREFIX)
    if tenant_id is None:
        raise InvalidMfaToken
    return tenant_id


async def complete_challenge(  # noqa: PLR0913  which challenge, with what, from where, when
    db: Connection,
    sealer: SealerSource,
    mfa_token: str,
    code: str,
    *,
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> IssuedTokens:
    """Begin the session of a user who has a right code. Raises InvalidMfaToken, InvalidMfaCode, MfaLocked.

    `db`: in the transaction of the token's tenant (`tenant_of`). `device`: where this step comes from.
    """
    challenge, holder = await _open_challenge(db, mfa_token, now)
    tenant_id, user_id = holder.key
    if not await store.count_attempt(db, tenant_id, challenge.id, max_attempts=CHALLENGE_ATTEMPTS):
        raise InvalidMfaToken
    actor = Actor(kind=ActorKind.USER, tenant_id=tenant_id, user_id=user_id, ip_address=device.ip_address)
    use = Use(Purpose.LOGIN, mfa_token)
    if not await check_code(db, sealer, actor, holder, code, sms=use, now=now):
        raise InvalidMfaCode
    await store.consume_challenge(db, tenant_id, challenge.id, now)
    device = msgspec.structs.replace(device, device_id=challenge.device_id, device_name=challenge.device_name)
    return await sessions.start_session(db, holder.key, device, policy, now)


async def send_challenge_code(db: Connection, sealer: SealerSource, mfa_token: str, now: datetime) -> str:
    """Send a code to the user's phone, for this challenge only; give the number that it goes to.

    Raises InvalidMfaToken, NoSmsFactor, MfaCodeTooSoon.
    """
    _challenge, holder = await _open_challenge(db, mfa_token, now)
    factor = holder.sms_factor
    if factor is None or factor.phone_number is None:
        raise NoSmsFactor
    use = Use(Purpose.LOGIN, mfa_token)
    await sms_codes.send_code(db, sealer, holder, factor.phone_number, use=use, now=now)
    return factor.phone_number


async def _open_challenge(db: Connection, mfa_token: str, now: datetime) -> tuple[Challenge, Holder]:
    """Find a challenge that is not over, and lock its user. Raises InvalidMfaToken."""
    tenant_id = tenant_of(mfa_token)
    challenge = await store.fetch_challenge(
        db, tenant_id, hash_token(mfa_token), max_attempts=CHALLENGE_ATTEMPTS, now=now
    )
    if challenge is None:
        raise InvalidMfaToken
    holder = await store.lock_holder(db, (tenant_id, challenge.user_id), now)
    if holder is None:
        raise InvalidMfaToken
    return challenge, holder
