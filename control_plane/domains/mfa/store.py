"""Rows of challenges, factors and recovery codes. `owner` is (tenant id, user id) everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.core.ids import new_id
from control_plane.db.pool import load_queries
from control_plane.domains.mfa.model import Challenge, Factor, FactorKind, Holder

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def has_factor(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> bool:
    """Tell whether a user has a factor that is verified."""
    answer: bool = await _queries.has_factor(db, tenant_id=owner[0], user_id=owner[1])
    return answer


async def insert_challenge(  # noqa: PLR0913  one argument per column
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    token_hash: bytes,
    device: Device,
    *,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Add a challenge to a sign-in from a device."""
    await _queries.insert_challenge(
        db,
        tenant_id=owner[0],
        challenge_id=new_id(),
        user_id=owner[1],
        token_hash=token_hash,
        device_id=device.device_id,
        device_name=device.device_name,
        now=now,
        expires_at=expires_at,
    )


async def fetch_challenge(
    db: Connection, tenant_id: uuid.UUID, token_hash: bytes, *, max_attempts: int, now: datetime
) -> Challenge | None:
    """Find a challenge that is not over."""
    row = await _queries.fetch_challenge(
        db, tenant_id=tenant_id, token_hash=token_hash, max_attempts=max_attempts, now=now
    )
    return None if row is None else Challenge(**row)


async def count_attempt(
    db: Connection, tenant_id: uuid.UUID, challenge_id: uuid.UUID, *, max_attempts: int
) -> bool:
    """Count a try of a challenge. Answers whether it had one left."""
    counted = await _queries.count_attempt(
        db, tenant_id=tenant_id, challenge_id=challenge_id, max_attempts=max_attempts
    )
    return counted is not None


async def consume_challenge(
    db: Connection, tenant_id: uuid.UUID, challenge_id: uuid.UUID, now: datetime
) -> None:
    """Note that a challenge was met."""
    await _queries.consume_challenge(db, tenant_id=tenant_id, challenge_id=challenge_id, now=now)


async def lock_holder(db: Connection, owner: tuple[uuid.UUID, uuid.UUID], now: datetime) -> Holder | None:
    """Find a user who may sign in; nobody else touches their factors until the transaction ends."""
    row = await _queries.lock_holder(db, tenant_id=owner[0], user_id=owner[1], now=now)
    return None if row is None else Holder(**row, factors=tuple(await list_factors(db, owner)))


async def list_factors(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> list[Factor]:
    """List a user's factors, the oldest first."""
    rows = _queries.list_factors(db, tenant_id=owner[0], user_id=owner[1])
    return [Factor(**(dict(row) | {"kind": FactorKind(row["kind"])})) async for row in rows]


async def insert_factor(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], factor: Factor, now: datetime
) -> None:
    """Add a factor that awaits its first code."""
    await _queries.insert_factor(
        db,
        tenant_id=owner[0],
        factor_id=factor.id,
        user_id=owner[1],
        kind=factor.kind,
        label=factor.label,
        secret=factor.secret,
        phone_number=factor.phone_number,
        now=now,
    )


async def delete_pending(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> None:
    """Forget the factor that awaits its first code, if there is one."""
    await _queries.delete_pending(db, tenant_id=owner[0], user_id=owner[1])


async def verify_factor(db: Connection, tenant_id: uuid.UUID, factor_id: uuid.UUID, now: datetime) -> None:
    """Note that a factor's first code was right."""
    await _queries.verify_factor(db, tenant_id=tenant_id, factor_id=factor_id, now=now)


async def take_step(db: Connection, tenant_id: uuid.UUID, factor_id: uuid.UUID, step: int) -> bool:
    """Take a time step of a factor. Answers whether neither it nor a later one had been taken."""
    taken = await _queries.take_step(db, tenant_id=tenant_id, factor_id=factor_id, step=step)
    return taken is not None


async def delete_factor(db: Connection, tenant_id: uuid.UUID, factor_id: uuid.UUID) -> None:
    """Remove a factor."""
    await _queries.delete_factor(db, tenant_id=tenant_id, factor_id=factor_id)


async def delete_factors(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> None:
    """Remove all factors of a user."""
    await _queries.delete_factors(db, tenant_id=owner[0], user_id=owner[1])


async def replace_recovery_codes(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], code_hashes: Iterable[bytes], now: datetime
) -> None:
    """Give a user these recovery codes and no others."""
    await _queries.delete_recovery_codes(db, tenant_id=owner[0], user_id=owner[1])
    await _queries.insert_recovery_codes(
        db, tenant_id=owner[0], user_id=owner[1], code_hashes=list(code_hashes), now=now
    )


async def use_recovery_code(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], code_hash: bytes, now: datetime
) -> bool:
    """Use a recovery code up. Answers whether the user had it, unused."""
    used = await _queries.use_recovery_code(
        db, tenant_id=owner[0], user_id=owner[1], code_hash=code_hash, now=now
    )
    return used is not None


async def count_recovery_codes(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> int:
    """Count the recovery codes that a user has left."""
    count: int = await _queries.count_recovery_codes(db, tenant_id=owner[0], user_id=owner[1])
    return count
