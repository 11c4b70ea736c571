"""Record who changed what, in the transaction that changes it, and read it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.ids import new_id
from control_plane.core.page import Page
from control_plane.domains.audit import store
from control_plane.domains.audit.model import AuditEntry

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection

REDACTED: Final = "[redacted]"
SECRET_WORDS: Final = ("password", "secret", "token", "hash", "recovery", "code_verifier", "p256dh")
"""A field whose name holds one of these is never written out."""


async def record(  # noqa: PLR0913  who, what, to which, from what, to what
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    action: str,
    entity: tuple[str, object],
    *,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Record a change. `action`: as in "user.ban". `entity`: (type, id), as in ("user", user_id).

    `before`, `after`: only what changed is kept of them when both are given.
    """
    if before is not None and after is not None:
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        before = {name: value for name, value in before.items() if name in changed}
        after = {name: value for name, value in after.items() if name in changed}
    entry = AuditEntry(
        id=new_id(),
        recorded_at=now,
        actor_kind=actor.kind,
        actor_id=actor.user_id,
        credential_id=actor.credential_id,
        request_id=actor.request_id,
        ip_address=actor.ip_address,
        action=action,
        entity_type=entity[0],
        entity_id=str(entity[1]),
        before=_redact(before),
        after=_redact(after),
    )
    await store.insert_entry(db, tenant_id, entry)


async def list_entries(  # noqa: PLR0913  one argument per filter
    db: Connection,
    tenant_id: uuid.UUID,
    page: PageRequest,
    *,
    entity_type: str | None = None,
    entity_id: str | None = None,
    actor_id: uuid.UUID | None = None,
    action: str | None = None,
) -> Page[AuditEntry]:
    """List a page of a tenant's audit, newest first."""
    filters = {"entity_type": entity_type, "entity_id": entity_id, "actor_id": actor_id, "action": action}
    entries, total = await store.list_entries(db, tenant_id, filters, page)
    return Page(entries, total, page.page, page.per_page)


def _redact(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Make values fit for JSON, without the secrets among them, however deep they stand."""
    if values is None:
        return None
    plain: dict[str, Any] = msgspec.to_builtins(dict(values), str_keys=True)
    return {name: _redact_one(name, value) for name, value in plain.items()}


def _redact_one(name: str, value: Any) -> Any:
    if (
        any(word in name.lower() for word in SECRET_WORDS)
        and value is not None
        and not isinstance(value, bool)
    ):
        return REDACTED
    return _redact(value) if isinstance(value, dict) else value
