"""Users: who signs in, and what is known of them."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Literal, TypeAlias

import msgspec

from control_plane.core.actor import Role

Gender: TypeAlias = Literal["Male", "Female", "Other", "PreferNotToSay"]
Language: TypeAlias = Literal["en", "pt-BR", "es"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as stored, without their password. `number`: the growth contract's id."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    number: int
    email: str | None
    email_verified_at: datetime | None
    phone_number: str | None
    phone_verified_at: datetime | None
    has_password: bool
    role: Role
    is_superadmin: bool
    is_active: bool
    register_mode: str
    language: Language
    full_name: str | None
    avatar_id: uuid.UUID | None
    avatar_url: str | None
    slogan: str | None
    about_me: str | None
    company_name: str | None
    website_name: str | None
    birth_date: date | None
    gender: Gender | None
    email_tell_me: bool
    sms_tell_me: bool
    push_tell_me: bool
    telegram_tell_me: bool
    balance_minor: int
    affiliate_balance_minor: int
    currency: str
    loyalty_score: int
    used_storage_bytes: int
    last_active_at: datetime | None
    banned_at: datetime | None
    banned_until: datetime | None
    created_at: datetime
    updated_at: datetime


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user to make. `email`: as its owner writes it. `phone_number`: E.164. `password_hash`: argon2id."""

    email: str | None = None
    phone_number: str | None = None
    password_hash: str | None = None
    full_name: str | None = None
    role: Role = Role.VIEWER
    is_superadmin: bool = False
    register_mode: str = "password"
    language: Language = "en"
    affiliate_code: str | None = None
    email_verified_at: datetime | None = None
    phone_verified_at: datetime | None = None
    terms_accepted_at: datetime | None = None

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return f"NewUser({self.email!r})"
