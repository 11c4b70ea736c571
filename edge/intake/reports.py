"""What pages report, as events: visits, clicks on elements, checkouts, sales and upsells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from uuid_utils import UUID

from edge.contract.events import Conversion, ConversionKind, PageClick, Visit
from edge.intake.answers import Refusal
from edge.intake.fields import URL_LENGTH
from edge.request import is_prefetch

if TYPE_CHECKING:
    from edge.contract.intake_record import ProjectRecord
    from edge.intake.fields import Fields
    from edge.request import EdgeRequest
    from edge.visitors import Visitors

USER_AGENT_LENGTH: Final = 1024
OLDEST_MS: Final = 24 * 3_600_000
NEWEST_MS: Final = 5 * 60_000
"""How far behind and ahead of the edge's clock a page may date what it reports."""
_VERSION: Final = 7
_VARIANT: Final = 0b10
"""What the first bits of the seventh and ninth byte of a UUIDv7 say."""

_KINDS: Final = {
    "checkout": ConversionKind.CHECKOUT,
    "sale": ConversionKind.SALE,
    "upsell": ConversionKind.UPSELL,
}
_OWN_IDS: Final = {"checkout": "checkout_id", "sale": "sale_id"}
"""What its id may also be called."""
_STATUSES: Final = ("completed", "pending")


class Reporter(msgspec.Struct, gc=False):
    """Who reports, and when. `now_ms`: Unix time. `has_gpc`: whether the browser asks not to be named."""

    ip: str
    country: str
    user_agent: str
    referrer: str
    has_gpc: bool
    is_prefetch: bool
    now_ms: int
    new_id: Callable[[], UUID]


def identify_reporter(
    request: EdgeRequest, visitors: Visitors, now_ms: int, new_id: Callable[[], UUID]
) -> Reporter:
    """Tell who sends a request."""
    headers = request.headers
    ip, country, _is_secure = visitors.identify(request)
    return Reporter(
        ip,
        country,
        (headers.get("user-agent") or "")[:USER_AGENT_LENGTH],
        (headers.get("referer") or "")[:URL_LENGTH],
        headers.get("sec-gpc") == "1",
        is_prefetch(headers),
        now_ms,
        new_id,
    )


def take_id(fields: Fields, name: str, by: Reporter, *, is_required: bool = False) -> tuple[bytes, int]:
    """Give the id that a page made, and when it came if the id does not say so; else one of the edge.

    An id of another time than that of the edge gets the edge's: its time is what the row is filed under.
    """
    given = fields.uuid(name)
    if not given:
        if is_required and not fields.faults:
            fields.refuse(name, "is required in a list: else what is sent again would count twice")
        return by.new_id().bytes, 0
    if given[6] >> 4 != _VERSION or given[8] >> 6 != _VARIANT:
        fields.refuse(name, "must be a UUIDv7", fields.text(name))
    dated_ms = int.from_bytes(given[:6], "big")
    if by.now_ms - OLDEST_MS <= dated_ms <= by.now_ms + NEWEST_MS:
        return given, by.now_ms
    return by.now_ms.to_bytes(6, "big") + given[6:], 0


def read_visit(fields: Fields, project: ProjectRecord, by: Reporter, *, in_list: bool = False) -> Visit:
    """Read a visit. Raises Refusal."""
    visit_id, received_ms = take_id(fields, "visit_id", by, is_required=in_list)
    url = fields.text("url", URL_LENGTH)
    if not url:
        fields.refuse("url", "is required")
    elif not url[:8].lower().startswith(("http://", "https://")):
        fields.refuse("url", "must begin with http:// or https://", url)
    visit = Visit(
        visit_id,
        project.tenant_id,
        project.project_id,
        fields.text("click_id"),
        "" if by.has_gpc else fields.text("client_id"),
        url,
        fields.text("referrer", URL_LENGTH),
        by.ip,
        by.country,
        by.user_agent,
        by.is_prefetch,
        received_ms,
    )
    fields.check()
    return visit


def read_page_click(
    fields: Fields, project: ProjectRecord, by: Reporter, *, in_list: bool = False
) -> PageClick:
    """Read a click on an element. Raises Refusal."""
    click_id, received_ms = take_id(fields, "id", by, is_required=in_list)
    click = PageClick(
        click_id,
        project.tenant_id,
        project.project_id,
        fields.text("click_id"),
        fields.text("visit_id"),
        fields.text("target_url", URL_LENGTH),
        fields.text("element_type"),
        fields.text("element_text"),
        fields.text("url", URL_LENGTH) or by.referrer,
        by.ip,
        by.country,
        by.user_agent,
        received_ms,
    )
    fields.check()
    return click


def read_event(fields: Fields, project: ProjectRecord, by: Reporter, *, in_list: bool = False) -> Conversion:
    """Read a checkout, sale or upsell of a page. Raises Refusal."""
    del in_list  # it always has an id
    if not project.accepts_tag_sales:
        raise Refusal(403, "forbidden", "This project takes no checkouts, sales or upsells from pages.")
    event = fields.text("event")
    kind = _KINDS.get(event)
    if kind is None:
        fields.refuse("event", "must be checkout, sale or upsell: refunds are not taken from pages", event)
    own = _OWN_IDS.get(event, "")
    status = fields.text("status") or "completed"
    statuses = (*_STATUSES, "abandoned") if kind == ConversionKind.CHECKOUT else _STATUSES
    if status not in statuses:
        fields.refuse("status", f"must be one of {', '.join(statuses)}", status)
    currency = fields.currency(project.currency)
    parent_id = fields.name("parent_sale_id", "sale_id", is_required=kind == ConversionKind.UPSELL)
    conversion = Conversion(
        by.new_id().bytes,
        project.tenant_id,
        project.project_id,
        int(kind or 0),
        fields.name("id", own) if own else fields.name("id"),
        status,
        fields.amount("amount", currency, is_required=kind != ConversionKind.CHECKOUT),
        fields.amount("commission", currency),
        currency,
        "tag",
        fields.text("visit_id"),
        fields.text("click_id"),
        "" if own == "checkout_id" else fields.text("checkout_id"),
        fields.text("sale_id") if kind == ConversionKind.UPSELL else "",
        parent_id if kind == ConversionKind.UPSELL else fields.name("parent_sale_id", is_required=False),
        fields.text("product_id"),
        fields.text("offer_id"),
        fields.text("transaction_id"),
    )
    fields.check()
    return conversion
