"""Checkouts, sales, refunds and upsells, reported one at a time or up to 1000 at once.

The reporter's own id makes repeats harmless: the same thing reported again is answered as it stands.
"""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import MalformedBody, accept, decode_document
from control_plane.core.errors import DomainError, Invalid
from control_plane.core.faults import Fault
from control_plane.dialects.body import read_raw_body
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.conversion_shapes import (
    show_checkout,
    show_refund,
    show_sale,
    show_upsell,
)
from control_plane.dialects.tracking.envelope import DataOut, wrap
from control_plane.dialects.tracking.errors import explain
from control_plane.dialects.tracking.languages import MESSAGES, choose_language
from control_plane.domains.conversions import listing, reports
from control_plane.domains.conversions.model import WORD_LENGTH
from control_plane.domains.conversions.reports import Report
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from control_plane.domains.conversions.listing import ListedConversion
    from control_plane.domains.conversions.reports import Reported

MOST_ITEMS: Final = 1000
OwnId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=WORD_LENGTH)]
Word: TypeAlias = Annotated[str, Meta(max_length=WORD_LENGTH)]


class ReportIn(msgspec.Struct, frozen=True, kw_only=True):
    """What all of them may say. `amount`: decimal number, as text or as a number, read exactly."""

    project_id: uuid.UUID | None = None
    amount: str | None = None
    currency: Word | None = None
    status: Word | None = None
    transaction_id: Word | None = None


class CheckoutIn(ReportIn, frozen=True, kw_only=True):
    """A checkout. `checkout_id`: what its reporter calls it."""

    checkout_id: OwnId
    visit_id: Word | None = None
    click_id: Word | None = None
    product_id: Word | None = None
    offer_id: Word | None = None


class SaleIn(ReportIn, frozen=True, kw_only=True):
    """A sale. `sale_id`: what its reporter calls it."""

    sale_id: OwnId
    commission: str | None = None
    visit_id: Word | None = None
    click_id: Word | None = None
    checkout_id: Word | None = None
    product_id: Word | None = None
    offer_id: Word | None = None
    parent_sale_id: Word | None = None


class RefundIn(ReportIn, frozen=True, kw_only=True):
    """A refund. `sale_id`: either id of the sale or upsell that it takes back."""

    refund_id: OwnId
    sale_id: OwnId
    reason: Word | None = None
    is_chargeback: bool | None = None


class UpsellIn(ReportIn, frozen=True, kw_only=True):
    """An upsell. `parent_sale_id`, else `sale_id`: either id of the sale that it adds to."""

    upsell_id: OwnId
    sale_id: Word | None = None
    parent_sale_id: Word | None = None
    commission: str | None = None
    offer_id: Word | None = None


class ItemErrorOut(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item was refused, as the error of a request says it."""

    code: str
    message: str
    details: dict[str, Any]


class ItemOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an item. `outcome`: created, existing or refused. `id`: ours."""

    index: int
    outcome: str
    id: uuid.UUID | UnsetType = UNSET
    error: ItemErrorOut | UnsetType = UNSET


SHAPES: Final[dict[ConversionKind, tuple[type[ReportIn], str, Callable[[ListedConversion], Any]]]] = {
    ConversionKind.CHECKOUT: (CheckoutIn, "checkout_id", show_checkout),
    ConversionKind.SALE: (SaleIn, "sale_id", show_sale),
    ConversionKind.REFUND: (RefundIn, "refund_id", show_refund),
    ConversionKind.UPSELL: (UpsellIn, "upsell_id", show_upsell),
}
"""What each kind is read from, which field its reporter's own id is in, and how it is shown."""


@post("/checkouts", status_code=201, opt={"scope": "sales:write"})
async def report_checkouts(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> Response[Any]:
    """Report a checkout, or up to 1000 as `items`. Reported again: 200 with the checkout as it is."""
    return await _report(request, services, actor, ConversionKind.CHECKOUT)


@post("/sales", status_code=201, opt={"scope": "sales:write"})
async def report_sales(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> Response[Any]:
    """Report a sale, or up to 1000 as `items`. Reported again: 200 with the sale as it is."""
    return await _report(request, services, actor, ConversionKind.SALE)


@post("/refunds", status_code=201, opt={"scope": "sales:write"})
async def report_refunds(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> Response[Any]:
    """Report a refund or chargeback, or up to 1000 as `items`. One of an unknown sale waits for it."""
    return await _report(request, services, actor, ConversionKind.REFUND)


@post("/upsells", status_code=201, opt={"scope": "sales:write"})
async def report_upsells(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> Response[Any]:
    """Report an upsell, or up to 1000 as `items`. One of an unknown sale waits for it."""
    return await _report(request, services, actor, ConversionKind.UPSELL)


async def _report(
    request: Request[Any, Any, Any], services: Services, actor: Actor, kind: ConversionKind
) -> Response[Any]:
    fields = _read_fields(await read_raw_body(request))
    tenant_id, now = tenant_of(actor), services.clock()
    if "items" in fields:
        items = [_read_item(item, kind) for item in _read_items(fields["items"])]
        async with services.transaction(tenant_id) as db:
            outcomes = await reports.take_in(db, tenant_id, items, now)
        shown = [_show_item(request, index, outcome) for index, outcome in enumerate(outcomes)]
        return _respond(wrap(request, shown), 200)
    report = _read_report(fields, kind)
    async with services.transaction(tenant_id) as db:
        (outcome,) = await reports.take_in(db, tenant_id, [report], now)
        if outcome.row is None:
            assert outcome.refusal is not None
            raise outcome.refusal
        conversion = await listing.fetch_conversion(db, tenant_id, kind, outcome.row.id)
    _shape, _own, show = SHAPES[kind]
    return _respond(wrap(request, show(conversion)), 201 if outcome.is_new else 200)


def _respond(body: DataOut[Any], status: int) -> Response[Any]:
    return Response(body, status_code=status, media_type=MediaType.JSON)


def _read_fields(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Read an object without its values. Raises MalformedBody, Invalid."""
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise Invalid([Fault("body", "must be an object")]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedBody(str(error)) from error


def _read_items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    rule = f"must be a list of 1 to {MOST_ITEMS} objects"
    try:
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise Invalid([Fault("items", rule)]) from error
    if not 0 < len(items) <= MOST_ITEMS:
        raise Invalid([Fault("items", rule, len(items))])
    return items


def _read_item(item: msgspec.Raw, kind: ConversionKind) -> Report | DomainError:
    """Read an item, or give why it is none."""
    try:
        return _read_report(_read_fields(item), kind)
    except DomainError as error:
        return error


def _read_report(fields: dict[str, msgspec.Raw], kind: ConversionKind) -> Report:
    """Read a report. Raises MalformedBody, Invalid."""
    shape, own, _show = SHAPES[kind]
    try:
        document = {
            name: _read_value(fields[name], is_amount=name in {"amount", "commission"})
            for name in shape.__struct_fields__
            if name in fields
        }
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedBody(str(error)) from error
    said = msgspec.structs.asdict(accept(decode_document(document, shape)))
    return Report(kind=kind, external_id=said[own], **{k: said[k] for k in said if k != own})


def _read_value(raw: msgspec.Raw, *, is_amount: bool) -> object:
    """Decode a value; give a number for an amount as it is written: as a float it would be another one.

    What else is no text for an amount comes as text too, to be refused as no amount.
    """
    text = bytes(raw).decode()
    is_written = is_amount and text != "null" and not text.startswith('"')
    return text if is_written else msgspec.json.decode(raw)


def _show_item(request: Request[Any, Any, Any], index: int, outcome: Reported) -> ItemOut:
    if outcome.row is not None:
        return ItemOut(index=index, outcome="created" if outcome.is_new else "existing", id=outcome.row.id)
    assert outcome.refusal is not None
    _status, code, details = explain(outcome.refusal)
    message = MESSAGES[code][choose_language(request.headers.get("Accept-Language", ""))]
    return ItemOut(
        index=index, outcome="refused", error=ItemErrorOut(code=code, message=message, details=details)
    )
