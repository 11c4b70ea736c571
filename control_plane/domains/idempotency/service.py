"""Do a repeated request once.

The key is claimed in the transaction that does the work. If that rolls back, so does the claim;
while it runs, a repetition waits; after it, a repetition learns what came out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.idempotency import store
from control_plane.domains.idempotency.errors import IdempotencyKeyReused

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.idempotency.model import IdempotentRequest


async def claim(
    db: Connection, account: Account, request: IdempotentRequest, resource_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    """Claim a key for the resource about to be made.

    Answers None when the caller is the first and must make it, else the id of what was made
    before. Raises IdempotencyKeyReused when the key was used for a different request.
    """
    if await store.claim_key(db, account, request, resource_id, now):
        return None
    fingerprint, earlier_id = await store.fetch_claim(db, account, request)
    if fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(request.key)
    return earlier_id
