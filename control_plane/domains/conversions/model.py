"""Checkouts, sales, refunds and upsells, and what they belong to.

A refund changes a sale or an upsell, an upsell changes a sale: its *target*. At the end of every chain of
targets stands a sale, the *root*, with whose click all of them are counted.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime, timedelta
from typing import Final

import msgspec

from control_plane.core.ids import id_time
from control_plane.domains.clicks.model import EVER, Span
from control_plane.domains.traffic.changes import Split
from edge.contract.currencies import DECIMALS
from edge.contract.events import Conversion, ConversionKind
from edge.contract.money import MOST_MINOR

FIRST_LOOK: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=5)
MOST_LOOKS: Final = 8650
"""How soon, how rarely and how often what a conversion waits for is looked for: over 30 days."""

STATUSES: Final = ("pending", "abandoned", "completed", "rejected")
"""A report of the same conversion may move its status on along these, and never back.

So whatever order reports come in, the end is the same.
"""
SOURCES: Final = frozenset({"tag", "postback", "api"})
WORD_LENGTH: Final = 255
"""Characters of what a reporter calls a thing."""
_KINDS: Final = frozenset(int(kind) for kind in ConversionKind)


class Waits(enum.StrEnum):
    """What a conversion waits for."""

    CLICK = "click"
    VISIT = "visit"
    SALE = "sale"


class ConversionRow(msgspec.Struct, kw_only=True):
    """A row of `conversions`; see the migration for what its columns mean."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    project_id: uuid.UUID
    kind: ConversionKind
    external_id: str
    status: str
    rejection: str | None = None
    is_chargeback: bool = False
    visit_id: str | None = None
    click_id: str | None = None
    checkout_id: str | None = None
    sale_id: str | None = None
    parent_sale_id: str | None = None
    product_id: str | None = None
    offer_id: str | None = None
    transaction_id: str | None = None
    reason: str | None = None
    currency: str
    amount_minor: int
    commission_minor: int = 0
    refunded_minor: int = 0
    upsold_minor: int = 0
    source: str
    target_id: uuid.UUID | None = None
    attributed_click: uuid.UUID | None = None
    link_id: uuid.UUID | None = None
    variant_id: uuid.UUID | None = None
    clicked_at: datetime | None = None
    counted_at: datetime
    waits_for: str | None = None
    next_look_at: datetime | None = None
    looks: int = 0
    is_forgotten: bool = False

    @property
    def target_word(self) -> str | None:
        """What it names as its target, by either id."""
        if self.kind is ConversionKind.REFUND:
            return self.sale_id
        if self.kind is ConversionKind.UPSELL:
            return self.parent_sale_id or self.sale_id
        return self.parent_sale_id

    @property
    def is_child(self) -> bool:
        """Whether it counts with another one's click."""
        return self.kind in {ConversionKind.REFUND, ConversionKind.UPSELL}

    def wait(self, what: Waits, now: datetime) -> None:
        """Have it looked at again, later each time, MOST_LOOKS times."""
        if self.looks >= MOST_LOOKS:
            self.wait_no_more()
            return
        self.waits_for = what
        self.next_look_at = now + min(LONGEST_PAUSE, FIRST_LOOK * 2 ** min(self.looks, 20))

    def wait_no_more(self) -> None:
        """Have it left as it is."""
        self.waits_for = self.next_look_at = None


class ClickFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What counting needs of a click. `split`: what is known of its visitor."""

    id: uuid.UUID
    link_id: uuid.UUID | None
    variant_id: uuid.UUID | None
    project_id: uuid.UUID | None
    visit_id: str | None
    utm_campaign: str | None
    is_bot: bool
    split: Split

    @property
    def link(self) -> tuple[uuid.UUID, uuid.UUID] | None:
        """(link, variant) of a click of a link."""
        if self.link_id is None or self.variant_id is None:
            return None
        return self.link_id, self.variant_id


class Marks(msgspec.Struct, frozen=True):
    """What a click is, as of the moment that it was locked."""

    is_conversion: bool
    is_bot: bool


class Outcome(enum.StrEnum):
    """What became of a report."""

    CREATED = "created"
    EXISTING = "existing"
    UNKNOWN_PROJECT = "unknown_project"
    UNREADABLE = "unreadable"


class Landed(msgspec.Struct, frozen=True):
    """What became of one report. `row`: as it is now; None where there is none."""

    event: Conversion
    outcome: Outcome
    row: ConversionRow | None


def is_readable(event: Conversion) -> bool:
    """Tell whether a report is one that our own intake lets through: its row will be taken."""
    return (
        event.kind in _KINDS
        and event.status in STATUSES
        and (event.status != "abandoned" or event.kind == ConversionKind.CHECKOUT)
        and event.source in SOURCES
        and event.currency in DECIMALS
        and 0 < len(event.external_id) <= WORD_LENGTH
        and 0 <= event.amount_minor < MOST_MINOR
        and 0 <= event.commission_minor < MOST_MINOR
    )


def make_row(event: Conversion) -> ConversionRow:
    """Make the row of a report; "" in an event is NULL in a row. Postgres' text cannot hold a zero."""
    conversion_id = uuid.UUID(bytes=event.id)
    return ConversionRow(
        tenant_id=uuid.UUID(bytes=event.tenant_id),
        id=conversion_id,
        project_id=uuid.UUID(bytes=event.project_id),
        kind=ConversionKind(event.kind),
        external_id=_plain(event.external_id),
        status=event.status,
        is_chargeback=event.is_chargeback,
        visit_id=_plain(event.visit_id) or None,
        click_id=_plain(event.click_id) or None,
        checkout_id=_plain(event.checkout_id) or None,
        sale_id=_plain(event.sale_id) or None,
        parent_sale_id=_plain(event.parent_sale_id) or None,
        product_id=_plain(event.product_id) or None,
        offer_id=_plain(event.offer_id) or None,
        transaction_id=_plain(event.transaction_id) or None,
        reason=_plain(event.reason) or None,
        currency=event.currency,
        amount_minor=event.amount_minor,
        commission_minor=event.commission_minor,
        source=event.source,
        counted_at=id_time(conversion_id),
    )


def _plain(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


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
