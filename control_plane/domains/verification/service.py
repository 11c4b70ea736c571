"""Find out whether an address reaches a user: send a code or a token, and see it come back.

The code goes to the address, the token to whoever asked; a code is worth nothing without the token that
it was issued with.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from control_plane.core.opaque_tokens import hash_token, make_token, read_tenant
from control_plane.domains.verification import store
from control_plane.domains.verification.errors import InvalidCode
from control_plane.domains.verification.model import Issued, Purpose, Redeemed

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.db.pool import Connection

CODE_PREFIX: Final = "syv_"
RESET_PREFIX: Final = "syp_"
PREFIXES: Final = {
    Purpose.EMAIL: CODE_PREFIX,
    Purpose.PHONE: CODE_PREFIX,
    Purpose.PASSWORD_RESET: RESET_PREFIX,
    Purpose.NOTICE: CODE_PREFIX,
}
LASTS: Final = {
    Purpose.EMAIL: timedelta(minutes=10),
    Purpose.PHONE: timedelta(minutes=10),
    Purpose.PASSWORD_RESET: timedelta(minutes=30),
    Purpose.NOTICE: timedelta(minutes=10),
}
ATTEMPTS: Final = 5
CODE_DIGITS: Final = 6

PAUSE: Final = timedelta(seconds=30)
RESENT_WITHIN: Final = timedelta(hours=24)
"""How long a token serves to ask for another code; after that, the way in is a new password."""

MOST_PER_HOUR: Final = 5
"""How much may be sent to one user for one purpose: no more than this, and not twice within PAUSE."""


def make_verification_token(purpose: Purpose, tenant_id: uuid.UUID) -> str:
    """Draw a token, which means nothing until something is issued with it."""
    return make_token(PREFIXES[purpose], tenant_id)


async def may_send(
    db: Connection, owner: tuple[uuid.UUID, uuid.UUID], purpose: Purpose, now: datetime
) -> bool:
    """Tell whether it is time to send something anew. `owner`: (tenant id, user id)."""
    if await store.count_since(db, owner, purpose, now - PAUSE):
        return False
    return await store.count_since(db, owner, purpose, now - timedelta(hours=1)) < MOST_PER_HOUR


async def issue(  # noqa: PLR0913  whose, what for, where to, by which token, when
    db: Connection,
    owner: tuple[uuid.UUID, uuid.UUID],
    purpose: Purpose,
    *,
    destination: str,
    token: str,
    now: datetime,
) -> Issued:
    """Issue a code with a token that make_verification_token drew. What was issued before is dead.

    `owner`: (tenant id, user id). A reset has no code: its token goes to the address itself.
    """
    code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
    await store.replace(
        db,
        owner,
        purpose,
        destination=destination,
        token_hash=hash_token(token),
        code_hash=None if purpose is Purpose.PASSWORD_RESET else _hash_code(token, code),
        now=now,
        expires_at=now + LASTS[purpose],
    )
    return Issued(token, code, LASTS[purpose] // timedelta(minutes=1))


def tenant_of(token: str, prefix: str, field: str = "token") -> uuid.UUID:
    """Give the tenant that a token names. Raises InvalidCode, about `field`."""
    tenant_id = read_tenant(token, prefix)
    if tenant_id is None:
        raise InvalidCode(field)
    return tenant_id


async def redeem(
    db: Connection, token: str, purposes: tuple[Purpose, ...], code: str | None, now: datetime
) -> Redeemed:
    """Take back what was issued, once. `code`: None for a reset. Raises InvalidCode.

    `db`: in the transaction of the token's tenant. ATTEMPTS tries with a wrong code use it up.
    """
    tenant_id = tenant_of(token, PREFIXES[purposes[0]])
    found = await store.count_attempt(db, tenant_id, hash_token(token), now)
    if found is None:
        raise InvalidCode("token" if code is None else "code")
    stored = found["code_hash"]
    is_right = found["purpose"] in purposes and (
        code is None if stored is None else hmac.compare_digest(stored, _hash_code(token, code or ""))
    )
    if is_right or found["attempts"] >= ATTEMPTS:
        await store.consume(db, tenant_id, found["id"], now)
    if not is_right:
        raise InvalidCode
    return Redeemed(found["user_id"], Purpose(found["purpose"]), found["destination"])


async def find_recent(db: Connection, tenant_id: uuid.UUID, token: str, now: datetime) -> Redeemed | None:
    """Find what was issued with a token within RESENT_WITHIN, whatever became of it; None for nothing.

    A password's reset is not found: its token proves more than that somebody asked.
    """
    found = await store.find_since(db, tenant_id, hash_token(token), now - RESENT_WITHIN)
    if found is None or found["purpose"] not in {Purpose.EMAIL, Purpose.PHONE}:
        return None
    return Redeemed(found["user_id"], Purpose(found["purpose"]), found["destination"])


async def is_alive(db: Connection, token: str, purpose: Purpose, now: datetime) -> bool:
    """Tell whether a token can be redeemed, without trying it."""
    tenant_id = tenant_of(token, PREFIXES[purpose])
    return await store.is_alive(db, tenant_id, hash_token(token), purpose, now)


def _hash_code(token: str, code: str) -> bytes:
    return hashlib.sha256(f"{token}:{code}".encode()).digest()
