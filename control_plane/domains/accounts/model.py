"""Who uses Switchyard, and what their plan allows."""

from __future__ import annotations

import uuid

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """What a tenant pays for. `api_requests_per_hour`: per user, per clock hour."""

    code: str
    name: str
    api_access: bool
    api_requests_per_hour: int


class Account(msgspec.Struct, frozen=True):
    """A user with their tenant and its plan."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    plan: Plan
