"""Clicks of a tenant, whether of links or on elements of pages, page by page."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.ids import id_floor
from control_plane.core.page import cut_keys
from control_plane.db.pool import load_queries, plan_each_time
from control_plane.domains.clicks.errors import ClickNotFound
from control_plane.domains.clicks.model import EVER, Span

if TYPE_CHECKING:
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("listing.sql"))


class TenantClick(msgspec.Struct, frozen=True, kw_only=True):
    """One click: of a link (link_id and variant_id are there), or on an element of a page.

    `click_id`: what others call it by. `target_url`: of a redirect, what its variant leads to now.
    """

    id: uuid.UUID
    project_id: uuid.UUID | None
    visit_id: str | None
    click_id: str
    target_url: str | None
    element_type: str | None
    element_text: str | None
    campaign: str | None
    ad_group: str | None
    keyword: str | None
    device: str | None
    country: str | None
    link_id: uuid.UUID | None
    variant_id: uuid.UUID | None
    is_bot: bool
    is_conversion: bool


class ClickFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which clicks: those for which all holds that is not None.

    `visit_ids`: what the visit may be called. `user_id`: only clicks of links of that user.
    """

    span: Span = EVER
    project_id: uuid.UUID | None = None
    visit_ids: list[str] | None = None
    user_id: uuid.UUID | None = None


async def list_clicks(
    db: Connection, tenant_id: uuid.UUID, wanted: ClickFilter, request: StretchRequest
) -> Stretch[TenantClick]:
    """List a tenant's clicks, newest first. `db`: in a transaction with one snapshot."""
    await plan_each_time(db)
    low, high = id_floor(wanted.span.start), id_floor(wanted.span.until)
    filters: dict[str, Any] = {
        "tenant_id": tenant_id,
        "project_id": wanted.project_id,
        "visit_ids": wanted.visit_ids,
        "user_id": wanted.user_id,
    }
    total: int = await _queries.count_clicks(db, low=low, high=high, **filters)
    low, high = request.narrow(low, high)
    if request.offset >= total:
        keys = []
    elif request.newer_than is not None:
        rows = _queries.find_newer_clicks(db, low=low, high=high, limit=request.limit, **filters)
        keys = [row["id"] async for row in rows]
    else:
        rows = _queries.find_older_clicks(
            db, low=low, high=high, limit=request.limit, offset=request.offset, **filters
        )
        keys = [row["id"] async for row in rows]
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await _fetch_clicks(db, tenant_id, stretch.items, wanted.user_id))


async def fetch_click(
    db: Connection, tenant_id: uuid.UUID, click_id: uuid.UUID, user_id: uuid.UUID | None
) -> TenantClick:
    """Find a click by its id. `user_id`: only one of a link of that user. Raises ClickNotFound."""
    found = await _fetch_clicks(db, tenant_id, [click_id], user_id)
    if click_id not in found:
        raise ClickNotFound
    return found[click_id]


async def _fetch_clicks(
    db: Connection, tenant_id: uuid.UUID, ids: list[uuid.UUID], user_id: uuid.UUID | None
) -> dict[uuid.UUID, TenantClick]:
    rows = _queries.fetch_clicks(db, tenant_id=tenant_id, ids=ids, user_id=user_id)
    return {row["id"]: TenantClick(**row) async for row in rows}
