"""Checkouts, sales, refunds and upsells, reported one at a time or up to 1000 at once.

The reporter's own id makes repeats harmless: the same thing reported again is answered as it stands. With an
Idempotency-Key, the same request is answered for a day as it was at first, and another one is 422.
"""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from msgspec import UNSET, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.errors import Invalid
from control_plane.dialects.body import read_raw_body
from control_plane.dialects.idempotency_keys import read_idempotency_key
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.conversion_bodies import read_body
from control_plane.dialects.tracking.conversion_shapes import (
    show_checkout,
    show_refund,
    show_sale,
    show_upsell,
)
from control_plane.dialects.tracking.envelope import wrap
from control_plane.dialects.tracking.errors import explain
from control_plane.dialects.tracking.languages import MESSAGES, choose_language
from control_plane.domains.conversions import reports, service
from control_plane.domains.conversions.model import ListedConversion
from control_plane.domains.idempotency import service as idempotency
from control_plane.domains.idempotency.model import Answer, IdempotentRequest
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.dialects.tracking.conversion_bodies import Body
    from control_plane.domains.conversions.reports import Reported


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


SHOW: Final[dict[ConversionKind, Callable[[ListedConversion], Any]]] = {
    ConversionKind.CHECKOUT: show_checkout,
    ConversionKind.SALE: show_sale,
    ConversionKind.REFUND: show_refund,
    ConversionKind.UPSELL: show_upsell,
}


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
    key, faults = read_idempotency_key(request)
    if faults:
        raise Invalid(faults)
    body = read_body(await read_raw_body(request), kind)
    language = choose_language(request.headers.get("Accept-Language", ""))
    tenant_id, now = tenant_of(actor), services.clock()
    async with services.transaction(tenant_id) as db:
        work = partial(_take_in, db, tenant_id, body, now, language)
        if key is None:
            answer = await work()
        else:
            assert actor.credential_id is not None
            endpoint = f"{kind.name.lower()}s.report"
            asked = IdempotentRequest(actor.credential_id, endpoint, key, body.fingerprint)
            answer = await idempotency.answer_once(db, tenant_id, asked, work, now)
    return Response(
        wrap(request, msgspec.Raw(answer.data)),
        status_code=answer.status,
        media_type=MediaType.JSON,
        headers={"Idempotent-Replayed": "true"} if answer.is_repeated else None,
    )


async def _take_in(db: Connection, tenant_id: uuid.UUID, body: Body, now: datetime, language: str) -> Answer:
    """Take in what is reported. Raises what a report by itself is refused for."""
    outcomes = await reports.take_in(db, tenant_id, body.reports, now)
    if body.is_batch:
        shown = [_show_item(index, outcome, language) for index, outcome in enumerate(outcomes)]
        return Answer(200, msgspec.json.encode(shown))
    (outcome,) = outcomes
    if outcome.row is None:
        assert outcome.refusal is not None
        raise outcome.refusal
    conversion = await service.fetch_conversion(db, tenant_id, body.kind, outcome.row.id)
    return Answer(201 if outcome.is_new else 200, msgspec.json.encode(SHOW[body.kind](conversion)))


def _show_item(index: int, outcome: Reported, language: str) -> ItemOut:
    if outcome.row is not None:
        return ItemOut(index=index, outcome="created" if outcome.is_new else "existing", id=outcome.row.id)
    assert outcome.refusal is not None
    _status, code, details = explain(outcome.refusal)
    error = ItemErrorOut(code=code, message=MESSAGES[code][language], details=details)
    return ItemOut(index=index, outcome="refused", error=error)
