"""Reports of checkouts, sales, refunds and upsells, as tests make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.dialects.tracking.rows import make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.tracking.conftest import KeyHolder

OWN_IDS = {"checkouts": "checkout_id", "sales": "sale_id", "refunds": "refund_id", "upsells": "upsell_id"}
REPORTS: dict[str, dict[str, Any]] = {
    "checkouts": {
        "checkout_id": "c-1",
        "amount": "19.90",
        "currency": "EUR",
        "status": "pending",
        "visit_id": str(make_id(1)),
        "click_id": "click-1",
        "product_id": "p",
        "offer_id": "o",
        "transaction_id": "t",
    },
    "sales": {
        "sale_id": "s-1",
        "amount": "19.90",
        "commission": "1.05",
        "currency": "EUR",
        "status": "completed",
        "visit_id": str(make_id(1)),
        "click_id": "click-1",
        "checkout_id": "c-1",
        "product_id": "p",
        "offer_id": "o",
        "transaction_id": "t",
        "parent_sale_id": "s-0",
    },
    "refunds": {
        "refund_id": "r-1",
        "sale_id": "s-7",
        "amount": "19.90",
        "currency": "EUR",
        "status": "completed",
        "reason": "broken",
        "transaction_id": "t",
        "is_chargeback": True,
    },
    "upsells": {
        "upsell_id": "u-1",
        "sale_id": "s-7",
        "parent_sale_id": "s-8",
        "amount": "19.90",
        "commission": "1.05",
        "currency": "EUR",
        "status": "completed",
        "offer_id": "o",
        "transaction_id": "t",
    },
}


async def post(holder: KeyHolder, name: str, expected: int = 201, /, **body: Any) -> Any:
    answer = await holder.api.post(f"/v1/{name}", json=body)
    assert answer.status_code == expected, answer.text
    return answer.json()["data" if expected < 300 else "error"]


async def post_text(holder: KeyHolder, name: str, text: str) -> httpx.Response:
    return await holder.api.post(
        f"/v1/{name}", content=text.encode(), headers={"Content-Type": "application/json"}
    )


async def count_rows(pool: asyncpg.Pool) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM conversions")
    return found


def fields_of(error: Any) -> list[str]:
    return [fault["field"] for fault in error["details"]["errors"]]
