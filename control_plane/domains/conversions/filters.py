"""What lists of conversions are narrowed by.

What belongs to something else says so in its reporter's words, which may be either id of that. A filter
that names a thing by one id therefore also finds what names it by the other one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from control_plane.core.ids import read_uuid, spellings_of
from control_plane.domains.conversions import store
from control_plane.domains.conversions.model import Reference
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    import uuid

    from control_plane.db.pool import Connection
    from control_plane.domains.conversions.model import ConversionFilter


async def resolve_filters(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind, wanted: ConversionFilter
) -> dict[str, Any]:
    """Give the parameters of the lists' queries."""
    click = await _resolve(db, tenant_id, wanted.click_id, None)
    checkout = await _resolve(db, tenant_id, wanted.checkout_id, ConversionKind.CHECKOUT)
    sale = await _resolve(db, tenant_id, wanted.sale_id, ConversionKind.SALE)
    return {
        "tenant_id": tenant_id,
        "kind": kind,
        "project_id": wanted.project_id,
        "status": wanted.status,
        "product_id": wanted.product_id,
        "offer_id": wanted.offer_id,
        "visit_names": None if wanted.visit_id is None else spellings_of(wanted.visit_id),
        "click_names": click.names,
        "click_ids": click.ids,
        "click_name": click.name,
        "click_project": click.project,
        "checkout_names": checkout.names,
        "checkout_name": checkout.name,
        "checkout_project": checkout.project,
        "sale_names": sale.names,
        "sale_ids": sale.ids,
        "sale_name": sale.name,
        "sale_project": sale.project,
    }


async def _resolve(
    db: Connection, tenant_id: uuid.UUID, text: str | None, kind: ConversionKind | None
) -> Reference:
    """Find what a filter names, a conversion of `kind` or a click, and how else rows may name it."""
    if text is None:
        return Reference()
    thing_id = read_uuid(text)
    found = await store.find_named(db, tenant_id, kind, text, thing_id)
    meant = next((row for row in found if row.id == thing_id and row.name), None)
    return Reference(
        names=[*spellings_of(text), *(str(row.id) for row in found)],
        ids=[row.id for row in found],
        name=meant.name if meant else None,
        project=meant.project_id if meant else None,
    )
