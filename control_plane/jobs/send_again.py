"""The job that sends a code or a reset to whoever has an address, if anybody has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.sealing import SealBroken
from control_plane.delivery.outcomes import DeliveryDelayed
from control_plane.domains.sign_in import registration
from control_plane.domains.sign_in.messages import SEALING_CONTEXT, SendAgain
from control_plane.domains.sign_in.model import Identifier

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Pool


async def send_again(
    pool: Pool, sealer: SealerSource, _job_id: int, payload: bytes, _enqueued_at: datetime
) -> None:
    """Do one job. `payload`: a sealed SendAgain. Raises DeliveryDelayed."""
    try:
        opened = await sealer.open(payload, SEALING_CONTEXT)
    except SealBroken as error:
        raise DeliveryDelayed("the master key is another one, or the job was changed") from error
    wanted = msgspec.json.decode(opened, type=SendAgain)
    by: dict[str, Any] = {"token": wanted.token, "now": wanted.asked_at}
    async with pool.acquire() as db, db.transaction():
        if wanted.previous_token is not None:
            await registration.send_code_again(db, sealer, wanted.tenant_id, wanted.previous_token, **by)
        else:
            identifier = Identifier(email=wanted.email, phone_number=wanted.phone_number)
            await registration.send_reset(db, sealer, wanted.tenant_id, identifier, **by)
