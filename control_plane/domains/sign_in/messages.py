"""The job that sends a code or a reset anew, to whoever has an address, if anybody has."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec

SEND_AGAIN: Final = "send_again"
"""Entrypoint of the job; its payload is a sealed SendAgain in JSON."""

SEALING_CONTEXT: Final = "jobs.send_again"


class SendAgain(msgspec.Struct, frozen=True):
    """To whom, and by which token. `is_reset`: else a code that verifies the address."""

    tenant_id: uuid.UUID
    email: str | None
    phone_number: str | None
    token: str
    is_reset: bool

    def __repr__(self) -> str:
        """Keep the token out of logs."""
        return "SendAgain()"
