"""Whether a code is one of the user's: of their authenticator, their phone, or a recovery code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.mfa import failures, recovery_codes, sms_codes, store, totp
from control_plane.domains.mfa.changes import Change, record_change
from control_plane.domains.mfa.model import FactorKind

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.mfa.model import Factor, Holder
    from control_plane.domains.mfa.sms_codes import Use


def seed_context(factor: Factor) -> str:
    """Name the place of a factor's sealed seed (core/sealing.py)."""
    return f"mfa_factors.secret:{factor.id}"


async def check_code(  # noqa: PLR0913  whose code, what for, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    holder: Holder,
    code: str,
    *,
    sms: Use | None,
    now: datetime,
) -> bool:
    """Take a code of a user. Answers whether it was right; a wrong one is counted. Raises MfaLocked.

    `sms`: what a code on their phone would have been sent for. Nothing serves a user without a verified
    factor.
    """
    if not holder.verified:
        return False
    digits = code.replace(" ", "")
    if not totp.is_code(digits):
        return await _take_recovery_code(db, sealer, actor, holder, code, now=now)
    await failures.require_unlocked(db, holder.key, now)
    right = await _take_totp_code(db, sealer, holder, digits, now)
    if not right and sms is not None and holder.sms_factor is not None:
        right = await sms_codes.try_code(db, holder.key, digits, sms, now)
    if right:
        await failures.forget_failures(db, holder.key)
    elif await failures.count_failure(db, holder.key, now):
        await record_change(db, sealer, actor, holder, Change.LOCKED, now=now)
    return right


async def take_step(  # noqa: PLR0913  of which factor, when
    db: Connection, sealer: SealerSource, factor: Factor, code: str, *, tenant_id: uuid.UUID, now: datetime
) -> bool:
    """Take a code of an authenticator. Answers whether it was right and not taken before."""
    assert factor.secret is not None
    seed = (await sealer.open(factor.secret, seed_context(factor))).decode()
    after = totp.NEVER if factor.last_step is None else factor.last_step
    step = totp.find_step(seed, code, now, after=after)
    return step is not None and await store.take_step(db, tenant_id, factor.id, step)


async def _take_totp_code(
    db: Connection, sealer: SealerSource, holder: Holder, code: str, now: datetime
) -> bool:
    """Take a code that any of the user's authenticators shows."""
    for factor in holder.verified:
        if factor.kind is FactorKind.TOTP and await take_step(
            db, sealer, factor, code, tenant_id=holder.tenant_id, now=now
        ):
            return True
    return False


async def _take_recovery_code(  # noqa: PLR0913  whose code, when
    db: Connection, sealer: SealerSource, actor: Actor, holder: Holder, code: str, *, now: datetime
) -> bool:
    """Use a recovery code up. Wrong ones are not counted: 80 bits are not guessed."""
    code_hash = recovery_codes.hash_code(holder.user_id, code)
    if code_hash is None or not await store.use_recovery_code(db, holder.key, code_hash, now):
        return False
    await failures.forget_failures(db, holder.key)
    facts = {"codes_left": await store.count_recovery_codes(db, holder.key)}
    await record_change(db, sealer, actor, holder, Change.RECOVERY_CODE_USED, now=now, facts=facts)
    return True
