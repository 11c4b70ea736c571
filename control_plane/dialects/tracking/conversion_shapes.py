"""Checkouts, sales, refunds and upsells as the tracking contract shapes them.

Amounts are text with all of their currency's decimals. Of one thing there are two ids: `id`, which is ours,
and for instance `sale_id`, which is its reporter's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from control_plane.core.ids import id_time
from control_plane.dialects.schemas import Moment
from edge.contract.money import format_amount

if TYPE_CHECKING:
    from control_plane.domains.conversions.model import ListedConversion


class CheckoutOut(msgspec.Struct, frozen=True, kw_only=True):
    """One checkout. `status`: pending, completed, abandoned or rejected."""

    id: uuid.UUID
    project_id: uuid.UUID | None
    visit_id: str | None
    click_id: str | None
    status: str
    product_id: str | None
    offer_id: str | None
    currency: str
    amount: str
    checkout_id: str
    transaction_id: str | None
    created_at: Moment


class SaleOut(msgspec.Struct, frozen=True, kw_only=True):
    """One sale. `status`: pending, completed or rejected.

    Added: `net_amount`, what is left of a completed one after its upsells and all refunds; else nothing.
    """

    id: uuid.UUID
    project_id: uuid.UUID | None
    visit_id: str | None
    click_id: str | None
    checkout_id: str | None
    sale_id: str
    status: str
    product_id: str | None
    offer_id: str | None
    amount: str
    net_amount: str
    commission: str
    currency: str
    transaction_id: str | None
    parent_sale_id: str | None
    created_at: Moment


class RefundOut(msgspec.Struct, frozen=True, kw_only=True):
    """One refund. Added: `is_chargeback`, and `rejection`, which says why a rejected one does not count."""

    id: uuid.UUID
    project_id: uuid.UUID | None
    refund_id: str
    sale_id: str | None
    status: str
    reason: str | None
    amount: str
    currency: str
    transaction_id: str | None
    is_chargeback: bool
    rejection: str | None
    created_at: Moment


class UpsellOut(msgspec.Struct, frozen=True, kw_only=True):
    """One upsell."""

    id: uuid.UUID
    project_id: uuid.UUID | None
    upsell_id: str
    sale_id: str | None
    parent_sale_id: str | None
    status: str
    offer_id: str | None
    amount: str
    commission: str
    currency: str
    transaction_id: str | None
    created_at: Moment


def show_checkout(one: ListedConversion) -> CheckoutOut:
    """Shape a checkout."""
    return CheckoutOut(
        id=one.id,
        project_id=one.project_id,
        visit_id=one.visit_id or None,
        click_id=one.click_id or None,
        status=one.status,
        product_id=one.product_id or None,
        offer_id=one.offer_id or None,
        currency=one.currency,
        amount=format_amount(one.amount_minor, one.currency),
        checkout_id=one.external_id,
        transaction_id=one.transaction_id or None,
        created_at=id_time(one.id),
    )


def show_sale(one: ListedConversion) -> SaleOut:
    """Shape a sale."""
    return SaleOut(
        id=one.id,
        project_id=one.project_id,
        visit_id=one.visit_id or None,
        click_id=one.click_id or None,
        checkout_id=one.checkout_id or None,
        sale_id=one.external_id,
        status=one.status,
        product_id=one.product_id or None,
        offer_id=one.offer_id or None,
        amount=format_amount(one.amount_minor, one.currency),
        net_amount=format_amount(one.net_minor, one.currency),
        commission=format_amount(one.commission_minor, one.currency),
        currency=one.currency,
        transaction_id=one.transaction_id or None,
        parent_sale_id=one.parent_sale_id or None,
        created_at=id_time(one.id),
    )


def show_refund(one: ListedConversion) -> RefundOut:
    """Shape a refund."""
    return RefundOut(
        id=one.id,
        project_id=one.project_id,
        refund_id=one.external_id,
        sale_id=one.sale_id or None,
        status=one.status,
        reason=one.reason or None,
        amount=format_amount(one.amount_minor, one.currency),
        currency=one.currency,
        transaction_id=one.transaction_id or None,
        is_chargeback=one.is_chargeback,
        rejection=one.rejection,
        created_at=id_time(one.id),
    )


def show_upsell(one: ListedConversion) -> UpsellOut:
    """Shape an upsell."""
    return UpsellOut(
        id=one.id,
        project_id=one.project_id,
        upsell_id=one.external_id,
        sale_id=one.sale_id or None,
        parent_sale_id=one.parent_sale_id or None,
        status=one.status,
        offer_id=one.offer_id or None,
        amount=format_amount(one.amount_minor, one.currency),
        commission=format_amount(one.commission_minor, one.currency),
        currency=one.currency,
        transaction_id=one.transaction_id or None,
        created_at=id_time(one.id),
    )
