"""Domains of tenants' own: a claim, and what a look at the domain tells of it."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

Method: TypeAlias = Literal["DNS_TXT", "HTTP_FILE"]
Status: TypeAlias = Literal["pending", "verified", "lapsed"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's claim to a domain.

    `domain`: lower-case A-labels. `challenge`: the token to be shown (challenges.py). `expires_at`: until
    when it serves. `next_check_at`: when jobs look next; None once they no longer do. `failed_checks`:
    daily ones in a row, since `failing_since`.
    """

    tenant_id: uuid.UUID
    id: uuid.UUID
    domain: str
    method: Method
    challenge: str
    status: Status
    created_at: datetime
    expires_at: datetime
    verified_at: datetime | None = None
    checked_at: datetime | None = None
    next_check_at: datetime | None = None
    failed_checks: int = 0
    failing_since: datetime | None = None
    last_error: str | None = None

    def __repr__(self) -> str:
        """Keep the challenge out of logs."""
        return f"Claim({self.domain!r}, {self.status})"


class Sight(enum.Enum):
    """What a look at a domain came to."""

    PROVEN = "proven"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """The DNS gave no answer, which says nothing of the domain."""


class Finding(msgspec.Struct, frozen=True):
    """What was seen of a claim's domain. `text`: a sentence for people."""

    sight: Sight
    text: str


class Reader(msgspec.Struct, frozen=True):
    """Somebody whom a tenant's mail goes to."""

    email: str
    language: str
