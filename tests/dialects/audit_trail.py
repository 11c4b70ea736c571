"""What the audit kept of changes, for tests that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg


async def read_audit(pool: asyncpg.Pool, action: str) -> list[dict[str, Any]]:
    """List the entries of an action, the oldest first."""
    rows = await pool.fetch(
        "SELECT tenant_id, actor_id, entity_id, before, after FROM audit_log WHERE action = $1 ORDER BY id",
        action,
    )
    return [dict(row) for row in rows]
