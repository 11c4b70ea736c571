"""The messages that a test's requests have enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.domains.messages.model import Mail, Push, Sms
from control_plane.domains.messages.service import SEALING_CONTEXT, SEND_MESSAGE

if TYPE_CHECKING:
    import asyncpg


async def read_outbox(app: Any, pool: asyncpg.Pool) -> list[Mail | Sms | Push]:
    """Give all messages that wait to be sent, the oldest first."""
    rows = await pool.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = $1 ORDER BY id", SEND_MESSAGE)
    sealer = app.state.services.sealer
    opened = [await sealer.open(row["payload"], SEALING_CONTEXT) for row in rows]
    return [msgspec.json.decode(payload, type=Mail | Sms | Push) for payload in opened]
