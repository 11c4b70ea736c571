"""Tenants as the identity contract shapes them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from control_plane.dialects.schemas import Moment
from control_plane.domains.tenants.model import Kind, Status

if TYPE_CHECKING:
    from control_plane.domains.tenants.model import Tenant


class TenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Limits that are null do not exist. The contact's address is left out where there is none."""

    id: uuid.UUID
    slug: str
    name: str
    kind: Kind
    status: Status
    custom_domain: str | None
    domain_verified: bool
    contact_email: str | UnsetType = UNSET
    max_users: int | None
    max_storage_gb: int | None
    monthly_render_qty: int | None
    trial_ends_at: Moment | None
    created_at: Moment


class TenantDetailOut(TenantOut, frozen=True, kw_only=True):
    """A tenant with what can be changed of it: an addition to the contract.

    `event_retention_days`: how long events say who a visitor was; null: for as long as they are kept.
    """

    contact_name: str | None
    contact_phone: str | None
    billing_email: str | None
    allowed_origins: list[str]
    event_retention_days: int | None


def show_tenant(tenant: Tenant) -> TenantOut:
    """Shape a tenant for its own users, and for those who see all."""
    return TenantOut(
        id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        kind=tenant.kind,
        status=tenant.status,
        custom_domain=tenant.custom_domain,
        domain_verified=tenant.custom_domain is not None,
        contact_email=tenant.contact_email or UNSET,
        max_users=tenant.max_users,
        max_storage_gb=tenant.max_storage_gb,
        monthly_render_qty=tenant.monthly_render_qty,
        trial_ends_at=tenant.trial_ends_at,
        created_at=tenant.created_at,
    )


def show_detail(tenant: Tenant) -> TenantDetailOut:
    """Shape a tenant with what can be changed of it."""
    return TenantDetailOut(
        **msgspec.structs.asdict(show_tenant(tenant)),
        contact_name=tenant.contact_name,
        contact_phone=tenant.contact_phone,
        billing_email=tenant.billing_email,
        allowed_origins=list(tenant.allowed_origins),
        event_retention_days=tenant.event_retention_days,
    )


def show_to_strangers(tenant: Tenant) -> TenantOut:
    """Shape a tenant for users of another one: nothing but what its own pages show anyway."""
    return msgspec.structs.replace(
        show_tenant(tenant),
        contact_email=UNSET,
        max_users=None,
        max_storage_gb=None,
        monthly_render_qty=None,
        trial_ends_at=None,
    )
