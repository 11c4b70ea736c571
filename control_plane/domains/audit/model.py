"""What the audit keeps of a change."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `before`, `after`: what it changed; secrets are "[redacted]"."""

    id: uuid.UUID
    recorded_at: datetime
    actor_kind: str
    actor_id: uuid.UUID | None
    credential_id: uuid.UUID | None
    request_id: str | None
    ip_address: str | None
    action: str
    entity_type: str
    entity_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
