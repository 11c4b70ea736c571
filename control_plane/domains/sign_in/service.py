"""Sign in: whichever way a user proves who they are, it ends here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.mfa import service as mfa
from control_plane.domains.mfa.errors import MfaRequired
from control_plane.domains.sessions import service as sessions

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import Device, IssuedTokens, SessionPolicy


async def open_session(
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    device: Device,
    policy: SessionPolicy,
    now: datetime,
) -> IssuedTokens:
    """Begin the session of a user whose first factor was right. Raises MfaRequired if they have a second.

    `owner`: (tenant id, user id).
    """
    mfa_token = await mfa.begin_challenge(db, owner, device, now)
    if mfa_token is not None:
        raise MfaRequired(mfa_token)
    return await sessions.start_session(db, owner, device, policy, now)
