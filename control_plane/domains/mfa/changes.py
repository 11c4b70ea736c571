"""What its owner and the audit are told of a change of second factors, in the same transaction."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from control_plane.domains.audit import service as audit
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Mail, Template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.mfa.model import Holder


class Change(enum.StrEnum):
    """What happened: the audit's action is "mfa." and this, the mail's `change` is this."""

    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    DISABLED = "disabled"
    RECOVERY_CODES_REPLACED = "recovery_codes_replaced"
    RECOVERY_CODE_USED = "recovery_code_used"
    LOCKED = "locked"


async def record_change(  # noqa: PLR0913  what, by whom, whose, when
    db: Connection,
    sealer: SealerSource,
    actor: Actor,
    holder: Holder,
    change: Change,
    *,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Record a change, and mail it to the user. `facts`: what more there is to say; nothing secret."""
    tenant_id, user_id = holder.key
    await audit.record(db, actor, tenant_id, f"mfa.{change}", ("user", user_id), now=now, after=facts)
    if holder.email is None:
        return
    mail = Mail(
        tenant_id=tenant_id,
        to=holder.email,
        template=Template.MFA_CHANGED,
        language=holder.language,
        data={"change": change, "at": now, "ip_address": actor.ip_address} | dict(facts or {}),
    )
    await messages.send(db, sealer, mail)
