"""API keys: what is stored of them, and what a caller gets to see once."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from control_plane.core.ip_addresses import IpNetwork
from control_plane.domains.accounts.model import Account


class KeyKind(enum.StrEnum):
    """What a key opens: one kind per published contract, and one for the services beside this one."""

    LINKS = "links"
    IDENTITY = "identity"
    APPLICATIONS = "applications"
    SERVICE = "service"


Environment: TypeAlias = Literal["Live", "Test"]

Scope: TypeAlias = Literal[
    "renders:create",
    "renders:read",
    "renders:cancel",
    "projects:read",
    "projects:write",
    "templates:read",
    "exports:read",
    "exports:download",
    "users:read",
    "users:write",
    "webhooks:manage",
    "links:read",
    "links:write",
    "visits:read",
    "clicks:read",
    "conversions:read",
    "sales:read",
    "sales:write",
    "blog:read",
    "blog:write",
    "blog:approve",
]
"""What a key may do. It may do nothing that no scope of it allows."""

LINKS_SCOPES: Final[tuple[Scope, ...]] = ("links:read", "links:write", "clicks:read")
"""What keys may do that are made in the links contract, which knows no scopes."""

PREFIXES: Final = {
    (KeyKind.IDENTITY, "Live"): "fr_live_",
    (KeyKind.IDENTITY, "Test"): "fr_test_",
    (KeyKind.APPLICATIONS, "Live"): "sk_live_",
    (KeyKind.SERVICE, "Live"): "syst_live_",
}
"""How keys begin; the prefix of those of the links contract is a setting."""


class KeySpec(msgspec.Struct, frozen=True, kw_only=True):
    """A key to make. `rate_limit_rpm`: requests per minute, None for as many as you like.

    `allowed_ips`: from where it may be used, everywhere when empty.
    """

    kind: KeyKind
    name: str
    environment: Environment = "Live"
    scopes: tuple[str, ...] = ()
    allowed_ips: tuple[IpNetwork, ...] = ()
    rate_limit_rpm: int | None = None
    expires_at: datetime | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored. `key_prefix`: its first 16 characters, to recognise it by.

    `last_used_at`, `usage_count`: written in batches, so a second behind.
    """

    id: uuid.UUID
    tenant_id: uuid.UUID
    name: str
    environment: str
    key_prefix: str
    last4: str
    scopes: list[str]
    allowed_ips: list[IpNetwork]
    rate_limit_rpm: int | None
    expires_at: datetime | None
    last_used_at: datetime | None
    usage_count: int
    created_at: datetime
    revoked_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        """Tell whether it can be used: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewApiKey(msgspec.Struct, frozen=True):
    """A key that was just made. `secret`: the key itself, which nobody can show again."""

    api_key: ApiKey
    secret: str

    def __repr__(self) -> str:
        """Keep the secret out of logs."""
        return f"NewApiKey({self.api_key!r})"


class HeldKey(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a key that was presented opens anything.

    `account`: the user that it acts for, None where its maker was no user of the tenant.
    `is_holder_live`: whether the tenant, and the user of a key that acts for one, may act at all.
    """

    id: uuid.UUID
    kind: KeyKind
    tenant_id: uuid.UUID
    key_prefix: str
    account: Account | None
    scopes: frozenset[str]
    allowed_ips: tuple[IpNetwork, ...]
    rate_limit_rpm: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    is_holder_live: bool


class Refusal(enum.StrEnum):
    """Why a key opens nothing."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    IP_NOT_ALLOWED = "ip_not_allowed"
    RATE_LIMITED = "rate_limited"
