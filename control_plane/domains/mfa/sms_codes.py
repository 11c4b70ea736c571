"""Codes that are sent to a phone: 6 digits, good for ten minutes, five tries and one purpose.

They are rows of `verifications` that go with no token. A code's hash is bound to what it was sent for, so
that it opens no other challenge and no other factor. All functions need the user's row locked
(store.lock_holder).
"""

from __future__ import annotations

import enum
import hashlib
import math
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.ids import new_id
from control_plane.db.pool import load_queries
from control_plane.domains.messages import service as messages
from control_plane.domains.messages.model import Sms, Template
from control_plane.domains.mfa.errors import MfaCodeTooSoon

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection
    from control_plane.domains.mfa.model import Holder

DIGITS: Final = 6
LASTS: Final = timedelta(minutes=10)
MAX_ATTEMPTS: Final = 5

INTERVAL: Final = timedelta(minutes=1)
"""Between two codes to the same user."""

PER_HOUR: Final = 5
"""Codes to the same user: text messages cost money, and whoever is sent many grows careless."""

_queries = load_queries(Path(__file__).with_name("queries.sql"))


class Purpose(enum.StrEnum):
    """What a code is for: to verify a factor, to sign in, to confirm a change of factors."""

    ENROLL = "mfa_enroll"
    LOGIN = "mfa_login"
    CONFIRM = "mfa_confirm"


class Use(msgspec.Struct, frozen=True):
    """What a code is for, exactly. `subject`: the mfa_token or the factor's id."""

    purpose: Purpose
    subject: str

    def hash_code(self, code: str) -> bytes:
        """Give what is stored of a code."""
        return hashlib.sha256(f"{self.purpose}:{self.subject}:{code}".encode()).digest()


async def send_code(  # noqa: PLR0913  to whom, where, what for, when
    db: Connection,
    sealer: SealerSource,
    holder: Holder,
    phone_number: str,
    *,
    use: Use,
    now: datetime,
) -> None:
    """Send a new code, which kills the one before. Raises MfaCodeTooSoon."""
    tenant_id, user_id = holder.key
    await _require_turn(db, holder, now)
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    await _queries.kill_sms_code(db, tenant_id=tenant_id, user_id=user_id, purpose=use.purpose, now=now)
    await _queries.insert_sms_code(
        db,
        tenant_id=tenant_id,
        id=new_id(),
        user_id=user_id,
        purpose=use.purpose,
        destination=phone_number,
        token_hash=secrets.token_bytes(32),
        code_hash=use.hash_code(code),
        now=now,
        expires_at=now + LASTS,
    )
    data = {"code": code, "minutes": LASTS // timedelta(minutes=1)}
    message = Sms(
        tenant_id=tenant_id,
        to=phone_number,
        template=Template.MFA_CODE,
        language=holder.language,
        data=data,
    )
    await messages.send(db, sealer, message)


async def try_code(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], code: str, use: Use, now: datetime
) -> bool:
    """Count a try of the user's code, and use it up if it is right. Answers whether it was."""
    right: bool | None = await _queries.try_sms_code(
        db,
        tenant_id=owner[0],
        user_id=owner[1],
        purpose=use.purpose,
        code_hash=use.hash_code(code),
        max_attempts=MAX_ATTEMPTS,
        now=now,
    )
    return bool(right)


async def _require_turn(db: Connection, holder: Holder, now: datetime) -> None:
    """Raise MfaCodeTooSoon when the user was sent a code just now, or PER_HOUR within the hour."""
    hour = timedelta(hours=1)
    rows = _queries.list_sms_codes(
        db,
        tenant_id=holder.tenant_id,
        user_id=holder.user_id,
        purposes=list(Purpose),
        since=now - hour,
    )
    sent = [row["created_at"] async for row in rows]
    next_turns = [sent[0] + INTERVAL] if sent else []
    if len(sent) >= PER_HOUR:
        next_turns.append(sent[PER_HOUR - 1] + hour)
    wait = max(next_turns, default=now) - now
    if wait > timedelta():
        raise MfaCodeTooSoon(math.ceil(wait.total_seconds()))
