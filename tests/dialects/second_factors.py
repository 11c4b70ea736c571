"""Users with a second factor, and sign-ins whose first step was right."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp

from control_plane.domains.mfa import service
from control_plane.domains.sessions.model import Device

if TYPE_CHECKING:
    import asyncpg

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member


class Authenticator:
    """An app that shows the codes of a factor, by the tests' clock."""

    def __init__(self, clock: SetClock, factor_id: str, secret: str, recovery_codes: list[str]) -> None:
        self.clock = clock
        self.factor_id = factor_id
        self.secret = secret
        self.recovery_codes = recovery_codes

    def code(self, skew: int = 0) -> str:
        """Show the code of this half minute, or of one beside it."""
        return pyotp.TOTP(self.secret).at(self.clock() + timedelta(seconds=30 * skew))

    def new_code(self) -> str:
        """Wait for the next half minute, whose code was not taken, and show it."""
        self.clock.advance(seconds=30)
        return self.code()

    def wrong_code(self) -> str:
        """Give six digits that are not shown now, nor a step earlier or later."""
        near = {self.code(skew) for skew in (-1, 0, 1)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in near)


async def set_up(member: Member, clock: SetClock, **changes: str) -> Authenticator:
    """Set up an authenticator that awaits its first code."""
    answer = await member.api.post("/v1/auth/mfa/setup", json={"factor_type": "TOTP"} | changes)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return Authenticator(clock, body["factor_id"], body["secret"], body["recovery_codes"])


async def enable(member: Member, clock: SetClock, **changes: str) -> Authenticator:
    """Set up an authenticator and verify it."""
    app = await set_up(member, clock, **changes)
    body = {"factor_id": app.factor_id, "code": app.code()}
    answer = await member.api.post("/v1/auth/mfa/verify", json=body)
    assert answer.status_code == 200, answer.text
    return app


async def begin_sign_in(pool: asyncpg.Pool, member: Member, clock: SetClock) -> str:
    """Do the first step of a sign-in; give the mfa_token of the second."""
    device = Device(device_id="d-1", device_name="Phone")
    async with pool.acquire() as db, db.transaction():
        token = await service.begin_challenge(db, (member.tenant_id, member.user_id), device, clock())
    assert token is not None
    return token
