"""The second factor: challenges at sign-in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from control_plane.core.opaque_tokens import hash_token, make_token
from control_plane.domains.mfa import store

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device

CHALLENGE_PREFIX: Final = "sym_"
CHALLENGE_LASTS: Final = timedelta(minutes=5)


async def begin_challenge(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], device: Device, now: datetime
) -> str | None:
    """Begin the second step of a sign-in; give its mfa_token, None for a user with no second factor.

    `owner`: (tenant id, user id). The token is no access token: it is opaque, and opens nothing but
    the challenge.
    """
    if not await store.has_factor(db, owner):
        return None
    token = make_token(CHALLENGE_PREFIX, owner[0])
    await store.insert_challenge(
        db, owner, hash_token(token), device, now=now, expires_at=now + CHALLENGE_LASTS
    )
    return token
