"""Rows of idempotency keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.db.pool import load_queries

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.idempotency.model import IdempotentRequest

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def claim_key(
    db: Connection, account: Account, request: IdempotentRequest, resource_id: uuid.UUID, now: datetime
) -> bool:
    """Take the key for `resource_id`. Answers whether it was free."""
    claimed = await _queries.claim_key(
        db,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        endpoint=request.endpoint,
        key=request.key,
        fingerprint=request.fingerprint,
        resource_id=resource_id,
        now=now,
    )
    return claimed is not None


async def fetch_claim(
    db: Connection, account: Account, request: IdempotentRequest
) -> tuple[bytes, uuid.UUID]:
    """Give the (fingerprint, resource id) of a key that is taken."""
    row = await _queries.fetch_claim(
        db,
        tenant_id=account.tenant_id,
        user_id=account.user_id,
        endpoint=request.endpoint,
        key=request.key,
    )
    return row["fingerprint"], row["resource_id"]
