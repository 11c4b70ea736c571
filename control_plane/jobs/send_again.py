"""The job that sends a code or a reset to whoever has an address, if anybody has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from control_plane.domains.sign_in import registration
from control_plane.domains.sign_in.messages import SEALING_CONTEXT, SendAgain
from control_plane.domains.sign_in.model import Identifier

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Pool


async def send_again(pool: Pool, sealer: SealerSource, payload: bytes, now: datetime) -> None:
    """Do one job. `payload`: a sealed SendAgain. Raises SealBroken."""
    opened = await sealer.open(payload, SEALING_CONTEXT)
    wanted = msgspec.json.decode(opened, type=SendAgain)
    identifier = Identifier(email=wanted.email, phone_number=wanted.phone_number)
    async with pool.acquire() as db, db.transaction():
        await registration.send_again(
            db, sealer, wanted.tenant_id, identifier, wanted.token, is_reset=wanted.is_reset, now=now
        )
