"""Who fails too often waits: an identifier, whether somebody has it or not, and an address.

The wait is a minute for every LIMIT failures so far, and at most LONGEST. Nothing is counted meanwhile,
and after FORGOTTEN without a failure all is forgotten.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from control_plane.domains.sign_in import store

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.sign_in.model import Identifier

STEP: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(minutes=15)
FORGOTTEN: Final = timedelta(hours=12)

ACCOUNT_LIMIT: Final = 5
ADDRESS_LIMIT: Final = 50
"""An address may be an office: it gets more tries than an account."""


async def is_locked(
    db: Connection, tenant_id: uuid.UUID, identifier: Identifier, ip_address: str | None, now: datetime
) -> bool:
    """Tell whether an identifier or an address has to wait."""
    subjects = [subject for subject, _limit in _list_subjects(identifier, ip_address)]
    return await store.is_locked(db, tenant_id, subjects, now)


async def is_locked_by_now(
    db: Connection, tenant_id: uuid.UUID, identifier: Identifier, ip_address: str | None, now: datetime
) -> bool:
    """Tell the same after a password was checked: of guesses made side by side, no more count than in turn.

    The caller has locked the user, if there is one; whoever wants both locks takes them in this order.
    """
    subject, _limit = next(_list_subjects(identifier, None))
    await store.hold_failures(db, tenant_id, subject)
    return await is_locked(db, tenant_id, identifier, ip_address, now)


async def count_failure(
    db: Connection, tenant_id: uuid.UUID, identifier: Identifier, ip_address: str | None, now: datetime
) -> datetime | None:
    """Count a failure; give the end of the identifier's lock, None if it is not locked by this."""
    ends = [
        await store.count_failure(
            db,
            tenant_id,
            subject,
            now,
            forgotten=now - FORGOTTEN,
            most=limit,
            step=STEP,
            longest=LONGEST,
        )
        for subject, limit in _list_subjects(identifier, ip_address)
    ]
    return ends[0]


async def forget_failures(db: Connection, tenant_id: uuid.UUID, identifier: Identifier) -> None:
    """Forget the failures of an identifier. Those of an address only time forgets."""
    subject, _limit = next(_list_subjects(identifier, None))
    await store.forget_failures(db, tenant_id, subject)


def _list_subjects(identifier: Identifier, ip_address: str | None) -> Iterator[tuple[bytes, int]]:
    """List what is counted, each with its limit: the identifier first."""
    yield hashlib.sha256(f"account:{identifier.text}".encode()).digest(), ACCOUNT_LIMIT
    if ip_address is not None:
        yield hashlib.sha256(f"address:{ip_address}".encode()).digest(), ADDRESS_LIMIT
