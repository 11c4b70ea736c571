"""The factors of somebody who is signed in: set up, verify, list, remove.

A factor counts for nothing until its first code was right. The first one comes with recovery codes, good
from that moment on. Changes need proof of who makes them: a sign-in of the last minutes, or a code.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.tokens import InvalidToken
from control_plane.domains.mfa import recovery_codes, sms_codes, store, totp
from control_plane.domains.mfa.changes import Change, record_change
from control_plane.domains.mfa.checks import check_code, seed_context, take_step
from control_plane.domains.mfa.errors import (
    MAX_FACTORS,
    FactorNotFound,
    FactorVerified,
    MfaAlreadyEnabled,
    MfaCodeRefused,
    MfaNotEnabled,
    NoPhoneNumber,
    NoSmsFactor,
    TooManyFactors,
)
from control_plane.domains.mfa.model import Enrolment, Factor, FactorKind
from control_plane.domains.mfa.sms_codes import Purpose, Use
from control_plane.domains.sessions import service as sessions

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.mfa.model import Holder, NewFactor

PENDING_LASTS: Final = timedelta(hours=1)
"""How long a factor waits for its first code: who set it up had just proved who they are."""


async def set_up_factor(  # noqa: PLR0913  who, what, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    new: NewFactor,
    now: datetime,
    *,
    only_first: bool = False,
) -> Enrolment:
    """Set up a factor that awaits its first code; it replaces one that does so already.

    Raises ReauthenticationRequired, MfaCodeRefused, TooManyFactors, NoPhoneNumber, MfaCodeTooSoon, and
    MfaAlreadyEnabled where `only_first` says that there must be none.
    """
    holder = await _lock(db, actor, now)
    if only_first and holder.verified:
        raise MfaAlreadyEnabled
    await _reauthenticate(db, sealer, actor, holder, code=new.code, now=now)
    if len(holder.verified) >= MAX_FACTORS or (new.kind is FactorKind.SMS and holder.sms_factor):
        raise TooManyFactors
    await store.delete_pending(db, holder.key)
    if new.kind is FactorKind.TOTP:
        enrolment = await _add_totp(db, sealer, holder, new.label, now)
    else:
        enrolment = await _add_sms(db, sealer, holder, new.label, now)
    if holder.verified:
        return enrolment
    return msgspec.structs.replace(enrolment, recovery_codes=await _replace_codes(db, holder, now))


async def verify_factor(  # noqa: PLR0913  who, which, with what, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    factor_id: uuid.UUID | None,
    *,
    code: str,
    now: datetime,
) -> Factor:
    """Verify a factor with its first code. `factor_id`: None for the one that awaits it.

    Raises FactorNotFound, FactorVerified, MfaCodeRefused.
    """
    holder = await _lock(db, actor, now)
    factor = _find_pending(holder, factor_id, now)
    digits = code.replace(" ", "")
    if factor.kind is FactorKind.TOTP:
        right = await take_step(db, sealer, factor, digits, tenant_id=holder.tenant_id, now=now)
    else:
        use = Use(Purpose.ENROLL, str(factor.id))
        right = await sms_codes.try_code(db, holder.key, digits, use, now)
    if not right:
        raise MfaCodeRefused
    await store.verify_factor(db, holder.tenant_id, factor.id, now)
    await record_change(db, sealer, actor, holder, Change.FACTOR_ADDED, now=now, facts=_describe(factor))
    return msgspec.structs.replace(factor, verified_at=now)


async def list_factors(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], now: datetime
) -> tuple[list[Factor], int]:
    """List a user's factors, the oldest first, and count the recovery codes that they have left."""
    factors = [factor for factor in await store.list_factors(db, owner) if _is_current(factor, now)]
    counts = any(factor.verified_at is not None for factor in factors)
    left = await store.count_recovery_codes(db, owner) if counts else 0
    return factors, left


async def remove_factor(  # noqa: PLR0913  who, which, with what, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    factor_id: uuid.UUID,
    *,
    code: str | None,
    now: datetime,
) -> None:
    """Remove a factor; with the last verified one go the recovery codes. Raises FactorNotFound.

    A verified factor needs a code, its own or another: Invalid without, MfaCodeRefused for a wrong one.
    """
    holder = await _lock(db, actor, now)
    factor = _find_factor(holder, factor_id, now)
    if factor.verified_at is None:
        await store.delete_pending(db, holder.key)
        return
    if code is None:
        raise Invalid([Fault("code", "is required to remove a verified factor")])
    await _reauthenticate(db, sealer, actor, holder, code=code, now=now)
    if holder.verified == [factor]:
        await _remove_everything(db, holder, now)
    else:
        await store.delete_factor(db, holder.tenant_id, factor.id)
    await record_change(db, sealer, actor, holder, Change.FACTOR_REMOVED, now=now, facts=_describe(factor))


async def disable(
    db: Connection, sealer: SealerSource, actor: Actor, code: str | None, now: datetime
) -> None:
    """Remove all factors and recovery codes. `code`: None if the sign-in is recent enough.

    Raises MfaNotEnabled, ReauthenticationRequired, MfaCodeRefused.
    """
    holder = await _lock(db, actor, now)
    if not holder.verified:
        raise MfaNotEnabled
    await _reauthenticate(db, sealer, actor, holder, code=code, now=now)
    await _remove_everything(db, holder, now)
    await record_change(db, sealer, actor, holder, Change.DISABLED, now=now)


async def replace_recovery_codes(
    db: Connection, sealer: SealerSource, actor: Actor, code: str, now: datetime
) -> tuple[str, ...]:
    """Give a user new recovery codes; the old ones are void. Raises MfaNotEnabled, MfaCodeRefused."""
    holder = await _lock(db, actor, now)
    if not holder.verified:
        raise MfaNotEnabled
    await _reauthenticate(db, sealer, actor, holder, code=code, now=now)
    codes = await _replace_codes(db, holder, now)
    await record_change(db, sealer, actor, holder, Change.RECOVERY_CODES_REPLACED, now=now)
    return codes


async def send_factor_code(
    db: Connection, sealer: SealerSource, actor: Actor, factor_id: uuid.UUID, now: datetime
) -> str:
    """Send a code to an SMS factor: its first, or one that confirms a change; give the number it goes to.

    Raises FactorNotFound, NoSmsFactor, MfaCodeTooSoon.
    """
    holder = await _lock(db, actor, now)
    factor = _find_factor(holder, factor_id, now)
    if factor.phone_number is None:
        raise NoSmsFactor
    purpose = Purpose.ENROLL if factor.verified_at is None else Purpose.CONFIRM
    use = Use(purpose, str(factor.id))
    await sms_codes.send_code(db, sealer, holder, factor.phone_number, use=use, now=now)
    return factor.phone_number


async def _lock(db: Connection, actor: Actor, now: datetime) -> Holder:
    """Lock the actor's row. Raises InvalidToken if they were banned just now."""
    holder = await store.lock_holder(db, actor.user_key, now)
    if holder is None:
        raise InvalidToken
    return holder


async def _reauthenticate(  # noqa: PLR0913  who, with what, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    holder: Holder,
    *,
    code: str | None,
    now: datetime,
) -> None:
    """Take a code as proof of who acts, or without one their recent sign-in."""
    if code is None or not holder.verified:
        sessions.require_recent_authentication(actor, now)
        return
    sms = Use(Purpose.CONFIRM, str(holder.sms_factor.id)) if holder.sms_factor else None
    if not await check_code(db, sealer, actor, holder, code, sms=sms, now=now):
        raise MfaCodeRefused


async def _add_totp(
    db: Connection, sealer: SealerSource, holder: Holder, label: str | None, now: datetime
) -> Enrolment:
    factor, seed = _pending(FactorKind.TOTP, label, now), totp.make_seed()
    sealed = await sealer.seal(seed.encode(), seed_context(factor))
    await store.insert_factor(db, holder.key, msgspec.structs.replace(factor, secret=sealed), now)
    account = holder.email or holder.phone_number or str(holder.user_id)
    url = totp.make_otpauth_url(seed, account=account, issuer=holder.tenant_name)
    return Enrolment(factor_id=factor.id, secret=seed, otpauth_url=url)


async def _add_sms(
    db: Connection, sealer: SealerSource, holder: Holder, label: str | None, now: datetime
) -> Enrolment:
    phone_number = holder.phone_number
    if phone_number is None:
        raise NoPhoneNumber
    factor = msgspec.structs.replace(_pending(FactorKind.SMS, label, now), phone_number=phone_number)
    await store.insert_factor(db, holder.key, factor, now)
    await sms_codes.send_code(
        db, sealer, holder, phone_number, use=Use(Purpose.ENROLL, str(factor.id)), now=now
    )
    return Enrolment(factor_id=factor.id, phone_number=phone_number)


async def _replace_codes(db: Connection, holder: Holder, now: datetime) -> tuple[str, ...]:
    codes = recovery_codes.make_codes()
    hashes = recovery_codes.hash_codes(holder.user_id, codes)
    await store.replace_recovery_codes(db, holder.key, hashes, now)
    return codes


async def _remove_everything(db: Connection, holder: Holder, now: datetime) -> None:
    """Remove all factors, one that awaits its first code among them: it would have no recovery codes."""
    await store.delete_factors(db, holder.key)
    await store.replace_recovery_codes(db, holder.key, [], now)


def _pending(kind: FactorKind, label: str | None, now: datetime) -> Factor:
    return Factor(
        id=new_id(),
        kind=kind,
        label=label,
        secret=None,
        phone_number=None,
        last_step=None,
        created_at=now,
        verified_at=None,
    )


def _find_factor(holder: Holder, factor_id: uuid.UUID, now: datetime) -> Factor:
    for factor in holder.factors:
        if factor.id == factor_id and _is_current(factor, now):
            return factor
    raise FactorNotFound


def _find_pending(holder: Holder, factor_id: uuid.UUID | None, now: datetime) -> Factor:
    for factor in holder.factors:
        if factor_id == factor.id and factor.verified_at is not None:
            raise FactorVerified
        if factor.verified_at is None and _is_current(factor, now) and factor_id in {None, factor.id}:
            return factor
    raise FactorNotFound


def _is_current(factor: Factor, now: datetime) -> bool:
    return factor.verified_at is not None or now - factor.created_at < PENDING_LASTS


def _describe(factor: Factor) -> dict[str, object]:
    return {"factor_id": str(factor.id), "factor_type": factor.kind, "label": factor.label}
