"""Tenants: who they are, what they may use, and how their pages and mails look."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

Kind: TypeAlias = Literal["Internal", "Reseller", "Enterprise"]
Status: TypeAlias = Literal["Active", "Trial", "Suspended", "Cancelled"]

FIRST_PLAN = "free"
"""The plan of a tenant whose maker names none."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `number`: the growth contract's id. Limits that are None do not exist.

    `event_retention_days`: how long its events say who a visitor was, None for as long as they are kept.
    `custom_domain`: the one of its domains that was verified first, or None.
    """

    id: uuid.UUID
    number: int
    slug: str
    name: str
    kind: Kind
    status: Status
    plan_code: str
    contact_name: str | None
    contact_email: str | None
    contact_phone: str | None
    billing_email: str | None
    allowed_origins: tuple[str, ...]
    max_users: int | None
    max_campaigns: int | None
    event_retention_days: int | None
    max_storage_gb: int | None
    monthly_render_qty: int | None
    trial_ends_at: datetime | None
    custom_domain: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_live(self) -> bool:
        """Whether its users can sign in."""
        return self.status in {"Active", "Trial"}


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant to make."""

    slug: str
    name: str
    kind: Kind = "Enterprise"
    plan_code: str = FIRST_PLAN
    contact_name: str | None = None
    contact_email: str | None = None
    contact_phone: str | None = None
    max_users: int | None = None
    max_campaigns: int | None = None


class TenantChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What of a tenant is to change; UNSET stays as it is."""

    name: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    plan_code: str | UnsetType = UNSET
    contact_name: str | UnsetType | None = UNSET
    contact_email: str | UnsetType = UNSET
    contact_phone: str | UnsetType | None = UNSET
    billing_email: str | UnsetType | None = UNSET
    allowed_origins: tuple[str, ...] | UnsetType = UNSET
    max_users: int | UnsetType | None = UNSET
    max_campaigns: int | UnsetType | None = UNSET
    event_retention_days: int | UnsetType | None = UNSET


class Branding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a tenant shows itself. Whoever reads it may write it into HTML: see branding.py."""

    display_name: str | None = None
    logo_url: str | None = None
    logo_dark_url: str | None = None
    favicon_url: str | None = None
    og_image_url: str | None = None
    primary_color: str | None = None
    secondary_color: str | None = None
    accent_color: str | None = None
    background_color: str | None = None
    font_family: str | None = None
    email_from_name: str | None = None
    email_from_address: str | None = None
    email_reply_to: str | None = None
    email_footer_html: str | None = None
    support_url: str | None = None
    terms_url: str | None = None
    privacy_url: str | None = None
    embed_enabled: bool = False
    embed_allowed_hosts: tuple[str, ...] = ()
    watermark_text: str | None = None
    watermark_image_url: str | None = None
    watermark_enabled: bool = False
