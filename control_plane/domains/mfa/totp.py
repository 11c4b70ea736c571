"""Time-based one-time passwords (RFC 6238): SHA-1, 30 s, 6 digits, which every authenticator app knows.

Clocks may be SKEW_STEPS apart: a code is taken in its own half minute, the one before and the one after.
A step is taken once: the factor keeps the last one, and neither it nor an earlier one is taken again.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import pyotp

if TYPE_CHECKING:
    from datetime import datetime

STEP_S: Final = 30
DIGITS: Final = 6
SKEW_STEPS: Final = 1

SEED_CHARACTERS: Final = 32
"""160 bits in base32, as RFC 4226 recommends."""

NEVER: Final = -1
"""The last step of a factor of which no code was taken."""


def make_seed() -> str:
    """Draw the secret of a factor, in base32."""
    return pyotp.random_base32(SEED_CHARACTERS)


def is_code(text: str) -> bool:
    """Tell whether a text looks like a code."""
    return len(text) == DIGITS and text.isascii() and text.isdecimal()


def code_at(seed: str, step: int) -> str:
    """Give the code of a time step. `seed`: base32."""
    return pyotp.HOTP(seed, digits=DIGITS).at(step)


def step_at(now: datetime) -> int:
    """Give the time step of a moment."""
    return int(now.timestamp()) // STEP_S


def find_step(seed: str, code: str, now: datetime, *, after: int) -> int | None:
    """Find the step that a code belongs to; None for a wrong one. `after`: the last one that was taken."""
    if not is_code(code):
        return None
    current = step_at(now)
    steps = range(max(current - SKEW_STEPS, after + 1), current + SKEW_STEPS + 1)
    return next((step for step in steps if hmac.compare_digest(code_at(seed, step), code)), None)


def make_otpauth_url(seed: str, *, account: str, issuer: str) -> str:
    """Give the URL that an authenticator app reads from a QR code. A colon would end the issuer."""
    name = issuer.replace(":", " ").strip() or "Switchyard"
    return pyotp.TOTP(seed).provisioning_uri(name=account, issuer_name=name)
