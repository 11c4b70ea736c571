"""API keys: what is stored of them, and what a caller gets to see once."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

import msgspec

from control_plane.domains.accounts.model import Account


class KeyKind(enum.StrEnum):
    """What a key opens: one kind per published contract."""

    LINKS = "links"


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is stored. `key_prefix`: its first 16 characters, to recognise it by."""

    id: uuid.UUID
    name: str
    key_prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(msgspec.Struct, frozen=True):
    """A key that was just made. `secret`: the key itself, which nobody can show again."""

    api_key: ApiKey
    secret: str

    def __repr__(self) -> str:
        """Keep the secret out of logs."""
        return f"NewApiKey({self.api_key!r})"


class KeyHolder(msgspec.Struct, frozen=True):
    """Whoever presented a valid key."""

    key_id: uuid.UUID
    account: Account
