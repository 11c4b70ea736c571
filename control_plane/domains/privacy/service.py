"""Ask for erasures, and see what became of them. jobs/privacy.py carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.audit import service as audit
from control_plane.domains.privacy import store
from control_plane.domains.privacy.errors import ErasureNotFound
from control_plane.domains.privacy.model import (
    ErasureKind,
    ErasureRequest,
    NotedSubject,
    read_visitor,
    visitor_key,
    word_key,
)

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.privacy.model import Erasure


async def request_erasure(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, request: ErasureRequest, now: datetime
) -> tuple[Erasure, bool]:
    """Ask for an erasure; give it, and whether it is a new one. Asked again, it is the one that there is.

    From the end of this transaction on flushers forget what it is about as it lands.
    """
    erasure_id = await store.insert_erasure(db, tenant_id, request, actor.credential_id, now)
    if erasure_id is None:
        known = await store.find_erasure_id(db, tenant_id, request)
        assert known is not None
        return await fetch_erasure(db, tenant_id, known), False
    entity, after = ("erasure", erasure_id), {"kind": request.kind, "whole_visitor": request.whole_visitor}
    await audit.record(db, actor, tenant_id, "erasure.request", entity, after=after, now=now)
    await store.note_subjects(db, tenant_id, erasure_id, [_name(request)], now)
    return await fetch_erasure(db, tenant_id, erasure_id), True


async def fetch_erasure(db: Connection, tenant_id: uuid.UUID, erasure_id: uuid.UUID) -> Erasure:
    """Find an erasure. Raises ErasureNotFound."""
    found = await store.fetch_erasures(db, tenant_id, [erasure_id])
    if erasure_id not in found:
        raise ErasureNotFound
    return found[erasure_id]


async def list_erasures(db: Connection, tenant_id: uuid.UUID, request: StretchRequest) -> Stretch[Erasure]:
    """List a tenant's erasures, newest first. `db`: with one snapshot."""
    return await store.list_erasures(db, tenant_id, request)


def _name(request: ErasureRequest) -> NotedSubject:
    if request.kind is ErasureKind.VISITOR:
        key = visitor_key(read_visitor(request.subject))
        return NotedSubject(key=key, is_asked=True, day=request.day)
    return NotedSubject(key=word_key(request.subject), is_asked=True)
