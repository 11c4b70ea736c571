"""Rows of subscriptions, and of the sender's key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.core.ids import new_id
from control_plane.db.pool import load_queries
from control_plane.domains.push.model import Subscription, SubscriptionKeys

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def lock_user(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> None:
    """Let subscriptions of a user be made one after another. `owner`: (tenant id, user id)."""
    await _queries.lock_user(db, tenant_id=owner[0], user_id=owner[1])


async def save_subscription(  # noqa: PLR0913  one argument per column
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    endpoint: str,
    keys: SubscriptionKeys,
    *,
    user_agent: str | None,
    now: datetime,
) -> None:
    """Add a subscription, or put it in the place of the one at the same endpoint, whosever that was."""
    await _queries.save_subscription(
        db,
        tenant_id=owner[0],
        id=new_id(),
        user_id=owner[1],
        endpoint=endpoint,
        p256dh=keys.p256dh,
        auth=keys.auth,
        user_agent=user_agent,
        now=now,
    )


async def keep_newest(db: Connection, owner: tuple[uuid.UUID, uuid.UUID], kept: int) -> None:
    """Delete all of a user's subscriptions but for the newest `kept`."""
    await _queries.keep_newest(db, tenant_id=owner[0], user_id=owner[1], kept=kept)


async def delete_subscriptions(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], endpoint: str | None
) -> None:
    """Delete a user's subscription at an endpoint; None: all of them."""
    await _queries.delete_subscriptions(db, tenant_id=owner[0], user_id=owner[1], endpoint=endpoint)


async def delete_subscription(db: Connection, tenant_id: uuid.UUID, subscription_id: uuid.UUID) -> None:
    """Delete one subscription."""
    await _queries.delete_subscription(db, tenant_id=tenant_id, id=subscription_id)


async def list_subscriptions(db: Connection, owner: tuple[uuid.UUID, uuid.UUID]) -> list[Subscription]:
    """List a user's subscriptions, the oldest first."""
    rows = _queries.list_subscriptions(db, tenant_id=owner[0], user_id=owner[1])
    return [
        Subscription(row["id"], row["endpoint"], SubscriptionKeys(row["p256dh"], row["auth"]))
        async for row in rows
    ]


async def fetch_sender_key(db: Connection) -> tuple[bytes, bytes] | None:
    """Fetch (sealed private key, public key); None where none was made yet."""
    row = await _queries.fetch_sender_key(db)
    return None if row is None else (row["private_key"], row["public_key"])


async def insert_sender_key(db: Connection, private_key: bytes, public_key: bytes, now: datetime) -> None:
    """Add the key, unless somebody else has just done so."""
    await _queries.insert_sender_key(db, private_key=private_key, public_key=public_key, now=now)
