"""Rows of idempotency keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.db.pool import load_queries
from control_plane.domains.idempotency.model import Answer, EarlierRequest

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.idempotency.model import IdempotentRequest

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def claim_key(
    db: Connection,
    tenant_id: uuid.UUID,
    request: IdempotentRequest,
    resource_id: uuid.UUID | None,
    now: datetime,
) -> bool:
    """Take the key, for `resource_id` if that is to be made. Answers whether it was free."""
    claimed = await _queries.claim_key(
        db,
        tenant_id=tenant_id,
        holder_id=request.holder_id,
        endpoint=request.endpoint,
        key=request.key,
        fingerprint=request.fingerprint,
        resource_id=resource_id,
        now=now,
    )
    return claimed is not None


async def fetch_claim(
    db: Connection, tenant_id: uuid.UUID, request: IdempotentRequest
) -> EarlierRequest | None:
    """Give what a key that was taken was used for; None where that has just been forgotten."""
    row = await _queries.fetch_claim(
        db,
        tenant_id=tenant_id,
        holder_id=request.holder_id,
        endpoint=request.endpoint,
        key=request.key,
    )
    if row is None:
        return None
    answer = None if row["answer"] is None else Answer(row["status"], row["answer"], is_repeated=True)
    return EarlierRequest(row["fingerprint"], row["resource_id"], answer)


async def keep_answer(
    db: Connection, tenant_id: uuid.UUID, request: IdempotentRequest, answer: Answer
) -> None:
    """Keep what a claimed request was answered."""
    await _queries.keep_answer(
        db,
        tenant_id=tenant_id,
        holder_id=request.holder_id,
        endpoint=request.endpoint,
        key=request.key,
        status=answer.status,
        answer=answer.data,
    )


async def forget_answers(db: Connection, tenant_id: uuid.UUID) -> None:
    """Delete the answers kept for a tenant, with their keys."""
    await _queries.forget_answers(db, tenant_id=tenant_id)
