"""What was sent to somebody to find out whether it reaches them."""

from __future__ import annotations

import enum
import uuid

import msgspec


class Purpose(enum.StrEnum):
    """What a code or token is good for, and nothing else."""

    EMAIL = "email"
    PHONE = "phone"
    PASSWORD_RESET = "password_reset"  # noqa: S105  the name of a purpose
    NOTICE = "notice"
    """Nothing that comes back: it keeps count of what a user was told."""


class Issued(msgspec.Struct, frozen=True):
    """What is to be sent. `token`: whoever asked has it. `code`: six digits, which only go to the address."""

    token: str
    code: str
    minutes: int

    def __repr__(self) -> str:
        """Keep both out of logs."""
        return "Issued()"


class Redeemed(msgspec.Struct, frozen=True):
    """What came back in time. `destination`: the address or number that it was sent to."""

    user_id: uuid.UUID
    purpose: Purpose
    destination: str
