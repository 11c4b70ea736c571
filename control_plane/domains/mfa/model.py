"""Second factors, and what their owner is shown of them."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

import msgspec


class FactorKind(enum.StrEnum):
    """What a factor is: an authenticator app, or a phone that gets text messages."""

    TOTP = "TOTP"
    SMS = "SMS"


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A factor as stored. `secret`: sealed. `verified_at`: None while its first code is awaited."""

    id: uuid.UUID
    kind: FactorKind
    label: str | None
    secret: bytes | None
    phone_number: str | None
    last_step: int | None
    created_at: datetime
    verified_at: datetime | None

    def __repr__(self) -> str:
        """Keep the sealed secret out of logs."""
        return f"Factor({self.id!r}, {self.kind})"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A user whose row is locked, and their factors, the oldest first."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    tenant_name: str
    email: str | None
    phone_number: str | None
    language: str
    factors: tuple[Factor, ...]

    @property
    def key(self) -> tuple[uuid.UUID, uuid.UUID]:
        """(tenant id, user id)."""
        return self.tenant_id, self.user_id

    @property
    def verified(self) -> list[Factor]:
        """The factors that count."""
        return [factor for factor in self.factors if factor.verified_at is not None]

    @property
    def sms_factor(self) -> Factor | None:
        """The verified factor that gets text messages; there is at most one."""
        return next((factor for factor in self.verified if factor.kind is FactorKind.SMS), None)


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in whose second step is awaited. `device_id`, `device_name`: what its first step said."""

    id: uuid.UUID
    user_id: uuid.UUID
    device_id: str | None
    device_name: str | None


class NewFactor(msgspec.Struct, frozen=True, kw_only=True):
    """A factor to set up. `code`: of a factor that the user already has, where they send one."""

    kind: FactorKind
    label: str | None = None
    code: str | None = None


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A factor that awaits its first code. What is secret in it is shown this once.

    `secret`, `otpauth_url`: of a TOTP factor, in base32 and for an authenticator app. `phone_number`: of
    an SMS factor. `recovery_codes`: empty when the user already has a factor, whose codes stay good.
    """

    factor_id: uuid.UUID
    secret: str | None = None
    otpauth_url: str | None = None
    phone_number: str | None = None
    recovery_codes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"Enrolment({self.factor_id!r})"
