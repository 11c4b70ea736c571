"""Sessions: what a sign-in began, and the tokens that carry it on."""

from __future__ import annotations

import uuid
from datetime import datetime

import msgspec


class SessionPolicy(msgspec.Struct, frozen=True):
    """How sessions are signed and how long they last. `previous_secret`: "" unless one is being replaced."""

    secret: str
    previous_secret: str
    issuer: str
    access_token_ttl_s: int
    session_ttl_s: int

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"SessionPolicy({self.issuer!r}, {self.access_token_ttl_s}, {self.session_ttl_s})"


class Device(msgspec.Struct, frozen=True):
    """Where somebody signs in from, as far as it says."""

    ip_address: str | None = None
    user_agent: str | None = None
    device_id: str | None = None
    device_name: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is alive."""

    id: uuid.UUID
    device_name: str | None
    user_agent: str | None
    ip_address: str | None
    issued_at: datetime
    last_used_at: datetime


class IssuedTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a client goes on with. `expires_in_s`: of the access token; the refresh token serves once."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    session_id: uuid.UUID
    access_token: str
    refresh_token: str
    expires_in_s: int

    def __repr__(self) -> str:
        """Keep the tokens out of logs."""
        return f"IssuedTokens(session_id={self.session_id!r})"
