"""What `doctor` says of the queues in Postgres: changed links, and messages to people.

Each examination gives (whether all is well, what to say).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.delivery.courier import NO_SMS_PROVIDER, NO_SMTP_SERVER
from control_plane.domains.messages.service import SEND_MESSAGE

if TYPE_CHECKING:
    import asyncpg

LONG_OUTBOX_S: Final = 5.0
LONG_OVERDUE_S: Final = 60.0
"""A worker looks for messages every five seconds; one that died is relieved within 35."""

_COUNT: Final = """
SELECT count(*) FILTER (WHERE status <> 'failed') AS waiting,
       count(*) FILTER (WHERE status = 'failed') AS dead,
       coalesce(extract(epoch FROM clock_timestamp()
                        - min(execute_after) FILTER (WHERE status = 'queued')), 0)::float8 AS overdue_s
FROM pgqueuer WHERE entrypoint = $1
"""
_LAST_REASON: Final = """
SELECT traceback->>'exception_message' FROM pgqueuer_log
WHERE entrypoint = $1 AND status = 'failed' ORDER BY created DESC LIMIT 1
"""


async def examine_outbox(db: asyncpg.Connection[asyncpg.Record]) -> tuple[bool, str]:
    """Tell how many changed links wait to be published."""
    row = await db.fetchrow(
        "SELECT count(*) AS depth,"
        " coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at)), 0)::float8 AS age_s"
        " FROM link_outbox"
    )
    assert row is not None
    says = f"{row['depth']} changed links wait to be published"
    if row["age_s"] > LONG_OUTBOX_S:
        return False, f"{says}, the oldest for {row['age_s']:.0f} s. Does the publisher run?"
    return True, says


async def examine_messages(db: asyncpg.Connection[asyncpg.Record]) -> tuple[bool, str]:
    """Tell how many messages wait, and how many are dead.

    Wrong addresses are part of life; that nothing is set to send with is not.
    """
    row = await db.fetchrow(_COUNT, SEND_MESSAGE)
    assert row is not None
    says = f"{row['waiting']} messages wait to be delivered, {row['dead']} could not be"
    reason = await db.fetchval(_LAST_REASON, SEND_MESSAGE) if row["dead"] else None
    if reason:
        says += f", the last one because {reason}"
    if row["overdue_s"] > LONG_OVERDUE_S:
        return False, f"{says}. The oldest is {row['overdue_s']:.0f} s late: does a jobs worker run?"
    if reason in {NO_SMTP_SERVER, NO_SMS_PROVIDER}:
        return False, f"{says}. Set SWITCHYARD_SMTP_URL and SWITCHYARD_SMS_URL."
    return True, says
