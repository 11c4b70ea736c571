"""Subscribe browsers to the messages of their user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.domains.push import store

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.push.model import SubscriptionKeys

MOST_PER_USER: Final = 20
"""Browsers come back under new endpoints, and rarely say goodbye: the oldest gives way."""


async def subscribe(  # noqa: PLR0913  whose, where, and how it is reached
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    endpoint: str,
    keys: SubscriptionKeys,
    *,
    user_agent: str | None,
    now: datetime,
) -> None:
    """Subscribe a browser. `owner`: (tenant id, user id).

    One that was subscribed for another user of the tenant no longer is: somebody else sits at it now.
    """
    await store.lock_user(db, owner)
    await store.save_subscription(db, owner, endpoint, keys, user_agent=user_agent, now=now)
    await store.keep_newest(db, owner, MOST_PER_USER)


async def unsubscribe(db: Connection, owner: tuple[uuid.UUID, uuid.UUID], endpoint: str | None) -> None:
    """Forget a browser of the user; None: all of them. What is not there is forgotten already."""
    await store.delete_subscriptions(db, owner, endpoint)
