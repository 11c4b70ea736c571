"""Checkouts, sales, refunds and upsells: the reads of the contract."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from control_plane.core.actor import Actor
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.conversion_shapes import (
    CheckoutOut,
    RefundOut,
    SaleOut,
    UpsellOut,
    show_checkout,
    show_refund,
    show_sale,
    show_upsell,
)
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.filters import ListQueryIn, Text, given, read_query
from control_plane.dialects.tracking.page import Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.conversions import service
from control_plane.domains.conversions.errors import ConversionNotFound
from control_plane.domains.conversions.model import ConversionFilter
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from control_plane.domains.conversions.model import ListedConversion

T = TypeVar("T")


class CheckoutListQueryIn(ListQueryIn, frozen=True, kw_only=True):
    """Which checkouts. `visit_id`, `click_id`: either id of a click."""

    visit_id: Text | UnsetType = UNSET
    click_id: Text | UnsetType = UNSET
    status: Text | UnsetType = UNSET
    product_id: Text | UnsetType = UNSET
    offer_id: Text | UnsetType = UNSET


class SaleListQueryIn(CheckoutListQueryIn, frozen=True, kw_only=True):
    """Which sales. `checkout_id`: either id of the checkout."""

    checkout_id: Text | UnsetType = UNSET


class ChangeListQueryIn(ListQueryIn, frozen=True, kw_only=True):
    """Which refunds or upsells. `sale_id`: either id of the sale that they change."""

    sale_id: Text | UnsetType = UNSET
    status: Text | UnsetType = UNSET


@get("/checkouts", opt={"scope": "conversions:read"})
async def list_checkouts(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[CheckoutOut]:
    """List checkouts, newest first."""
    return await _list(request, services, actor, ConversionKind.CHECKOUT, show_checkout)


@get("/checkouts/{checkout_id:str}", opt={"scope": "conversions:read"})
async def get_checkout(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[CheckoutOut]:
    """Get a checkout by its id."""
    return await _get(request, services, actor, ConversionKind.CHECKOUT, show_checkout)


@get("/sales", opt={"scope": "sales:read"})
async def list_sales(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[SaleOut]:
    """List sales, newest first."""
    return await _list(request, services, actor, ConversionKind.SALE, show_sale)


@get("/sales/{sale_id:str}", opt={"scope": "sales:read"})
async def get_sale(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[SaleOut]:
    """Get a sale by its id."""
    return await _get(request, services, actor, ConversionKind.SALE, show_sale)


@get("/refunds", opt={"scope": "sales:read"})
async def list_refunds(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[RefundOut]:
    """List refunds and chargebacks, newest first."""
    return await _list(request, services, actor, ConversionKind.REFUND, show_refund)


@get("/refunds/{refund_id:str}", opt={"scope": "sales:read"})
async def get_refund(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[RefundOut]:
    """Get a refund by its id."""
    return await _get(request, services, actor, ConversionKind.REFUND, show_refund)


@get("/upsells", opt={"scope": "sales:read"})
async def list_upsells(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[UpsellOut]:
    """List upsells, newest first."""
    return await _list(request, services, actor, ConversionKind.UPSELL, show_upsell)


@get("/upsells/{upsell_id:str}", opt={"scope": "sales:read"})
async def get_upsell(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[UpsellOut]:
    """Get an upsell by its id."""
    return await _get(request, services, actor, ConversionKind.UPSELL, show_upsell)


FILTERS = (
    "project_id",
    "status",
    "product_id",
    "offer_id",
    "visit_id",
    "click_id",
    "checkout_id",
    "sale_id",
)
"""Fields of ConversionFilter that query parameters have the names of."""

QUERIES: dict[ConversionKind, type[CheckoutListQueryIn | ChangeListQueryIn]] = {
    ConversionKind.CHECKOUT: CheckoutListQueryIn,
    ConversionKind.SALE: SaleListQueryIn,
    ConversionKind.REFUND: ChangeListQueryIn,
    ConversionKind.UPSELL: ChangeListQueryIn,
}


async def _list(
    request: Request[Any, Any, Any],
    services: Services,
    actor: Actor,
    kind: ConversionKind,
    show: Callable[[ListedConversion], T],
) -> ListOut[T]:
    query, span = read_query(request.query_params, QUERIES[kind])
    wanted = ConversionFilter(
        span=span,
        **{name: given(getattr(query, name, UNSET)) for name in FILTERS},
    )
    tenant_id = tenant_of(actor)
    paging = Paging(kind.name, tenant_id, wanted)
    asked = paging.read(query)
    async with services.snapshot(tenant_id) as db:
        stretch = await service.list_conversions(db, tenant_id, kind, wanted, asked)
    return wrap_list(request, [show(one) for one in stretch.items], paging.show(stretch))


async def _get(
    request: Request[Any, Any, Any],
    services: Services,
    actor: Actor,
    kind: ConversionKind,
    show: Callable[[ListedConversion], T],
) -> DataOut[T]:
    conversion_id = read_id(request, f"{kind.name.lower()}_id", ConversionNotFound(kind))
    tenant_id = tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        conversion = await service.fetch_conversion(db, tenant_id, kind, conversion_id)
    return wrap(request, show(conversion))
