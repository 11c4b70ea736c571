"""Do a repeated request once.

The key is claimed in the transaction that does the work. If that rolls back, so does the claim;
while it runs, a repetition waits; after it, a repetition learns what came out of it: of a request that
makes one thing, that thing as it is now; of any other, the answer that was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.idempotency import store
from control_plane.domains.idempotency.errors import IdempotencyKeyReused

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.idempotency.model import Answer, EarlierRequest, IdempotentRequest


async def claim(
    db: Connection,
    tenant_id: uuid.UUID,
    request: IdempotentRequest,
    resource_id: uuid.UUID,
    now: datetime,
) -> uuid.UUID | None:
    """Claim a key for the resource about to be made.

    Answers None when the caller is the first and must make it, else the id of what was made
    before. Raises IdempotencyKeyReused when the key was used for a different request.
    """
    earlier = await _claim(db, tenant_id, request, resource_id, now)
    return None if earlier is None else earlier.resource_id


async def answer_once(
    db: Connection,
    tenant_id: uuid.UUID,
    request: IdempotentRequest,
    work: Callable[[], Awaitable[Answer]],
    now: datetime,
) -> Answer:
    """Do `work` and keep its answer; give a request that was answered before that answer again.

    Raises IdempotencyKeyReused when the key was used for a different request.
    """
    earlier = await _claim(db, tenant_id, request, None, now)
    if earlier is not None:
        assert earlier.answer is not None, "a claim without an answer is rolled back"
        return earlier.answer
    answer = await work()
    await store.keep_answer(db, tenant_id, request, answer)
    return answer


async def forget_answers(db: Connection, tenant_id: uuid.UUID) -> None:
    """Delete the answers kept for a tenant: what is repeated behind that is answered by what is there."""
    await store.forget_answers(db, tenant_id)


async def _claim(
    db: Connection,
    tenant_id: uuid.UUID,
    request: IdempotentRequest,
    resource_id: uuid.UUID | None,
    now: datetime,
) -> EarlierRequest | None:
    earlier = None
    while earlier is None:
        if await store.claim_key(db, tenant_id, request, resource_id, now):
            return None
        earlier = await store.fetch_claim(db, tenant_id, request)
    if earlier.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused(request.key)
    return earlier
