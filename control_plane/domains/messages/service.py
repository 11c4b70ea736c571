"""Send messages: each is a job, enqueued in the transaction that needs it.

The job's payload is sealed (core/sealing.py), because codes and reset tokens are in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.db.job_queue import enqueue_job

if TYPE_CHECKING:
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.messages.model import Mail, Push, Sms

SEND_MESSAGE: Final = "send_message"
"""Entrypoint of the job; its payload is a sealed Mail, Sms or Push in JSON."""

SEALING_CONTEXT: Final = "jobs.send_message"


async def send(db: Connection, sealer: SealerSource, message: Mail | Sms | Push) -> None:
    """Have a message sent once the transaction commits."""
    await enqueue_job(db, SEND_MESSAGE, await sealer.seal(msgspec.json.encode(message), SEALING_CONTEXT))
