"""The job that sends a code or a reset anew, to whoever has an address, if anybody has."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import msgspec

SEND_AGAIN: Final = "send_again"
"""Entrypoint of the job; its payload is a sealed SendAgain in JSON."""

SEALING_CONTEXT: Final = "jobs.send_again"


class SendAgain(msgspec.Struct, frozen=True):
    """To whom, by which token, since when: a reset to an address, or a code for `previous_token`'s."""

    tenant_id: uuid.UUID
    token: str
    asked_at: datetime
    previous_token: str | None = None
    email: str | None = None
    phone_number: str | None = None

    def __repr__(self) -> str:
        """Keep the token out of logs."""
        return "SendAgain()"
