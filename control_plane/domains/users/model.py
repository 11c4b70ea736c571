"""Users: who signs in, and what is known of them."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

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

    def is_banned(self, now: datetime) -> bool:
        """Whether a ban holds; it ends by itself when it has an end."""
        return self.banned_at is not None and (self.banned_until is None or self.banned_until > now)


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


class ProfileChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What users change about themselves; UNSET stays as it is, None clears."""

    full_name: str | UnsetType | None = UNSET
    slogan: str | UnsetType | None = UNSET
    about_me: str | UnsetType | None = UNSET
    company_name: str | UnsetType | None = UNSET
    website_name: str | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    gender: Gender | UnsetType | None = UNSET
    email_tell_me: bool | UnsetType = UNSET
    sms_tell_me: bool | UnsetType = UNSET
    push_tell_me: bool | UnsetType = UNSET
    telegram_tell_me: bool | UnsetType = UNSET


class MemberChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What admins change about users of their tenant; UNSET stays as it is, None clears.

    `email`: as `read_email` gives it. `password_hash`: argon2id.
    """

    email: str | UnsetType = UNSET
    full_name: str | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    password_hash: str | UnsetType = UNSET

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return f"MemberChanges(role={self.role!r}, is_active={self.is_active!r})"


class UserFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which users are wanted. `text`: part of an address, a name or a number. None: whichever."""

    text: str | None = None
    role: Role | None = None
    is_active: bool | None = None
