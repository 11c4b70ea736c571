"""Checkouts, sales, refunds and upsells, page by page.

What belongs to something else says so in its reporter's words, which may be either id of that. A filter
that names a thing by one id therefore also finds what names it by the other one.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from control_plane.core.errors import NotFound
from control_plane.core.ids import id_floor
from control_plane.core.page import cut_keys
from control_plane.db.pool import load_queries, plan_each_time
from control_plane.domains.clicks.model import EVER, Span
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection

_queries = load_queries(Path(__file__).with_name("listing.sql"))


class ConversionNotListed(NotFound):
    """The tenant has no such checkout, sale, refund or upsell."""

    code = "conversion_not_listed"

    def __init__(self, kind: ConversionKind) -> None:
        super().__init__(f"{kind.name.title()} not found")


class ListedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout, sale, refund or upsell. `external_id`: what its reporter calls it.

    `net_minor`: of a completed sale or upsell, what is left with upsells and refunds counted; else 0.
    """

    id: uuid.UUID
    project_id: uuid.UUID
    visit_id: str | None
    click_id: str | None
    checkout_id: str | None
    sale_id: str | None
    parent_sale_id: str | None
    external_id: str
    status: str
    rejection: str | None
    is_chargeback: bool
    product_id: str | None
    offer_id: str | None
    transaction_id: str | None
    reason: str | None
    currency: str
    amount_minor: int
    commission_minor: int
    net_minor: int


class ConversionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which ones: those for which all holds that is not None. *_id of other things: either of their ids."""

    span: Span = EVER
    project_id: uuid.UUID | None = None
    status: str | None = None
    product_id: str | None = None
    offer_id: str | None = None
    visit_id: str | None = None
    click_id: str | None = None
    checkout_id: str | None = None
    sale_id: str | None = None


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """How rows may name one thing: by `names` in any project, by `name` in `project`; or by `ids` for sure.

    No names at all: nothing in particular is wanted.
    """

    names: list[str] | None = None
    ids: list[uuid.UUID] = []
    name: str | None = None
    project: uuid.UUID | None = None


async def list_conversions(
    db: Connection,
    tenant_id: uuid.UUID,
    kind: ConversionKind,
    wanted: ConversionFilter,
    request: StretchRequest,
) -> Stretch[ListedConversion]:
    """List a tenant's conversions of a kind, newest first. `db`: in a transaction with one snapshot."""
    await plan_each_time(db)
    low, high = id_floor(wanted.span.start), id_floor(wanted.span.until)
    filters = await _resolve_filters(db, tenant_id, kind, wanted)
    total: int = await _queries.count_listed(db, low=low, high=high, **filters)
    low, high = request.narrow(low, high)
    if request.offset >= total:
        keys = []
    elif request.newer_than is not None:
        rows = _queries.find_newer(db, low=low, high=high, limit=request.limit, **filters)
        keys = [row["id"] async for row in rows]
    else:
        rows = _queries.find_older(
            db, low=low, high=high, limit=request.limit, offset=request.offset, **filters
        )
        keys = [row["id"] async for row in rows]
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await _fetch(db, tenant_id, kind, stretch.items))


async def fetch_conversion(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind, conversion_id: uuid.UUID
) -> ListedConversion:
    """Find a conversion of a kind by its id. Raises ConversionNotListed."""
    found = await _fetch(db, tenant_id, kind, [conversion_id])
    if conversion_id not in found:
        raise ConversionNotListed(kind)
    return found[conversion_id]


async def _fetch(
    db: Connection, tenant_id: uuid.UUID, kind: ConversionKind, ids: list[uuid.UUID]
) -> dict[uuid.UUID, ListedConversion]:
    rows = _queries.fetch_listed(db, tenant_id=tenant_id, kind=kind, ids=ids)
    return {row["id"]: ListedConversion(**row) async for row in rows}


async def _resolve_filters(
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
        "visit_names": None if wanted.visit_id is None else names_of(wanted.visit_id),
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
    thing_id = _read_uuid(text)
    if kind is None:
        rows = _queries.find_named_clicks(db, tenant_id=tenant_id, name=text, id=thing_id)
    else:
        rows = _queries.find_named_conversions(db, tenant_id=tenant_id, kind=kind, name=text, id=thing_id)
    found = [row async for row in rows]
    meant = next((row for row in found if row["id"] == thing_id and row["name"]), None)
    return Reference(
        names=[*names_of(text), *(str(row["id"]) for row in found)],
        ids=[row["id"] for row in found],
        name=meant["name"] if meant else None,
        project=meant["project_id"] if meant else None,
    )


def names_of(text: str) -> list[str]:
    """Give how a thing may be written down that a filter names so: a UUID in its usual form as well."""
    thing_id = _read_uuid(text)
    return [text] if thing_id is None else [text, str(thing_id)]


def _read_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
