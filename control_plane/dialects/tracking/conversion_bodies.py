"""Bodies that report checkouts, sales, refunds and upsells: one, or up to 1000 as `items`.

Amounts are read exactly as they are written.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from control_plane.core.decoding import MalformedBody, accept, decode_document
from control_plane.core.errors import DomainError, Invalid
from control_plane.core.faults import Fault
from control_plane.domains.conversions.model import WORD_LENGTH
from control_plane.domains.conversions.reports import Report
from edge.contract.events import ConversionKind

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


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What a request reports; of an item that is no report, why.

    `fingerprint`: SHA-256 of what was read, so that spelling it otherwise is no difference.
    """

    kind: ConversionKind
    is_batch: bool
    reports: list[Report | DomainError]
    fingerprint: bytes


SHAPES: Final[dict[ConversionKind, tuple[type[ReportIn], str]]] = {
    ConversionKind.CHECKOUT: (CheckoutIn, "checkout_id"),
    ConversionKind.SALE: (SaleIn, "sale_id"),
    ConversionKind.REFUND: (RefundIn, "refund_id"),
    ConversionKind.UPSELL: (UpsellIn, "upsell_id"),
}
"""What each kind is read from, and which field its reporter's own id is in."""


def read_body(body: bytes, kind: ConversionKind) -> Body:
    """Read what is reported. Raises MalformedBody, Invalid; of items, only when there are none."""
    fields = _read_fields(body)
    is_batch = "items" in fields
    reports: list[Report | DomainError] = []
    known: list[Report | msgspec.Raw] = []
    if is_batch:
        for item in _read_items(fields["items"]):
            report = _read_item(item, kind)
            reports.append(report)
            known.append(report if isinstance(report, Report) else item)
    else:
        report = _read_report(fields, kind)
        reports, known = [report], [report]
    digest = hashlib.sha256(msgspec.json.encode((is_batch, known))).digest()
    return Body(kind=kind, is_batch=is_batch, reports=reports, fingerprint=digest)


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
    shape, own = SHAPES[kind]
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
