"""Rows of the audit log. They are only ever added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from control_plane.db.pool import load_queries
from control_plane.domains.audit.model import AuditEntry

if TYPE_CHECKING:
    import uuid

    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("queries.sql"))


async def insert_entry(db: Connection, tenant_id: uuid.UUID, entry: AuditEntry) -> None:
    """Add an entry."""
    await _queries.insert_entry(
        db,
        tenant_id=tenant_id,
        id=entry.id,
        now=entry.recorded_at,
        actor_kind=entry.actor_kind,
        actor_id=entry.actor_id,
        credential_id=entry.credential_id,
        request_id=entry.request_id,
        ip_address=entry.ip_address,
        action=entry.action,
        entity_type=entry.entity_type,
        entity_id=entry.entity_id,
        before=entry.before,
        after=entry.after,
    )


async def list_entries(
    db: Connection, tenant_id: uuid.UUID, filters: dict[str, Any], page: PageRequest
) -> tuple[list[AuditEntry], int]:
    """List a page of entries, newest first, and count all. `filters`: column -> value or None."""
    total: int = await _queries.count_entries(db, tenant_id=tenant_id, **filters)
    rows = _queries.list_entries(db, tenant_id=tenant_id, limit=page.per_page, offset=page.offset, **filters)
    return [AuditEntry(**row) async for row in rows], total
