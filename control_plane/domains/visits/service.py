"""Read visits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.page import cut_keys
from control_plane.db.pool import plan_each_time
from control_plane.domains.visits import store
from control_plane.domains.visits.errors import VisitNotFound

if TYPE_CHECKING:
    import uuid

    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.visits.model import Visit, VisitFilter


async def list_visits(
    db: Connection, tenant_id: uuid.UUID, wanted: VisitFilter, request: StretchRequest
) -> Stretch[Visit]:
    """List a tenant's visits, newest first. `db`: in a transaction with one snapshot."""
    await plan_each_time(db)
    total = await store.count_visits(db, tenant_id, wanted)
    keys = [] if request.offset >= total else await store.find_visits(db, tenant_id, wanted, request)
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await store.fetch_visits(db, tenant_id, stretch.items))


async def fetch_visit(db: Connection, tenant_id: uuid.UUID, visit_id: uuid.UUID) -> Visit:
    """Find a visit. Raises VisitNotFound."""
    found = await store.fetch_visits(db, tenant_id, [visit_id])
    if visit_id not in found:
        raise VisitNotFound
    return found[visit_id]
