"""API keys as the identity contract shapes them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ip_addresses import read_network, show_network
from control_plane.dialects.schemas import Line, Moment
from control_plane.domains.api_keys.model import Environment, KeySpec, Scope

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.core.ip_addresses import IpNetwork
    from control_plane.domains.api_keys.model import ApiKey, KeyKind, NewApiKey

DEFAULT_RPM = 600
"""Requests per minute of a key for which nobody says how many: ten a second, which a runaway passes."""

Blocks = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=100)]
RequestsPerMinute = Annotated[int, Meta(ge=1, le=1_000_000)]
ReasonText = Annotated[str, Meta(max_length=500)]


class ApiKeyCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A key to make. `allowed_ips`: addresses and CIDR blocks, v4 and v6; from everywhere when empty."""

    name: Line
    scopes: Annotated[list[Scope], Meta(max_length=100)]
    environment: Environment = "Live"
    allowed_ips: Blocks = []
    rate_limit_rpm: RequestsPerMinute = DEFAULT_RPM
    expires_at: Moment | None = None


class ServiceTokenCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A service to let in. `rate_limit_rpm`: null for as many requests as it likes."""

    name: Line
    allowed_ips: Blocks = []
    rate_limit_rpm: RequestsPerMinute | None = None
    expires_at: Moment | None = None


class RevokeIn(msgspec.Struct, frozen=True, kw_only=True):
    """Why a key is revoked."""

    reason: ReasonText | None = None


class ApiKeyOut(msgspec.Struct, frozen=True, kw_only=True):
    """A key. `usage_count` and `last_used_at` are a second behind; `is_active`: not revoked, not expired."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    name: str
    environment: str
    key_prefix: str
    last4: str
    scopes: list[str]
    allowed_ips: list[str]
    rate_limit_rpm: int | None
    is_active: bool
    expires_at: Moment | None
    last_used_at: Moment | None
    usage_count: int
    created_at: Moment


class NewApiKeyOut(ApiKeyOut, frozen=True, kw_only=True):
    """A key that was just made. `secret_key`: the key itself, shown this once."""

    secret_key: str


class ApiKeyListOut(msgspec.Struct, frozen=True):
    """Keys that are not revoked, newest first."""

    data: list[ApiKeyOut]


def read_spec(create: ApiKeyCreateIn, kind: KeyKind) -> KeySpec:
    """Read what a key is to be. Raises Invalid."""
    return KeySpec(
        kind=kind,
        name=create.name,
        environment=create.environment,
        scopes=tuple(dict.fromkeys(create.scopes)),
        allowed_ips=read_blocks(create.allowed_ips),
        rate_limit_rpm=create.rate_limit_rpm,
        expires_at=create.expires_at,
    )


def read_blocks(blocks: list[str]) -> tuple[IpNetwork, ...]:
    """Read addresses and CIDR blocks, each once. Raises Invalid with every one that is neither."""
    read = [(read_network(text), text, n) for n, text in enumerate(blocks)]
    rule = "must be an IP address, or a CIDR block without host bits, as in 192.0.2.0/24"
    if faults := [Fault(f"allowed_ips[{n}]", rule, text) for block, text, n in read if block is None]:
        raise Invalid(faults)
    return tuple(dict.fromkeys(block for block, _text, _n in read if block is not None))


def show_key(key: ApiKey, now: datetime) -> ApiKeyOut:
    """Shape a key."""
    return ApiKeyOut(**_fields(key, now))


def show_new_key(new: NewApiKey, now: datetime) -> NewApiKeyOut:
    """Shape a key with its secret."""
    return NewApiKeyOut(**_fields(new.api_key, now), secret_key=new.secret)


def _fields(key: ApiKey, now: datetime) -> dict[str, Any]:
    fields = msgspec.structs.asdict(key)
    del fields["revoked_at"]
    blocks = [show_network(block) for block in key.allowed_ips]
    return fields | {"allowed_ips": blocks, "is_active": key.is_active(now)}
