"""Many reports in one request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.dialects.tracking.reporting import count_rows, fields_of, post, post_text

if TYPE_CHECKING:
    import asyncpg

    from tests.dialects.tracking.conftest import KeyHolder


@pytest.mark.usefixtures("project_id")
class TestBatches:
    async def test_every_item_stands_for_itself(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        sale = await post(writer, "sales", sale_id="s", amount="10")
        first = await post(writer, "refunds", refund_id="r-0", sale_id="s", amount="1")
        items = [
            {"refund_id": "r-0", "sale_id": "s", "amount": "1"},
            {"refund_id": "r-1", "sale_id": "s", "amount": "8"},
            {"refund_id": "r-2", "sale_id": "s", "amount": "8"},
            {"refund_id": "r-3", "sale_id": "s", "amount": "1", "currency": "EUR"},
            {"refund_id": "r-4", "sale_id": "s"},
            "no object",
            {"refund_id": "r-1", "sale_id": "s", "amount": "8"},
            {"refund_id": "r-1", "sale_id": "s", "amount": "7"},
            {"refund_id": "r-5", "sale_id": "s", "amount": 1.00},
            {"refund_id": "r-6", "sale_id": "later", "amount": "100"},
        ]
        answer = await writer.api.post(
            "/v1/refunds", json={"items": items}, headers={"Accept-Language": "pt-BR"}
        )
        assert answer.status_code == 200, answer.text
        found = answer.json()["data"]
        assert [item["index"] for item in found] == list(range(10))
        outcomes = [
            item["error"]["details"].get("reason", item["error"]["code"])
            if item["outcome"] == "refused"
            else item["outcome"]
            for item in found
        ]
        assert outcomes == [
            "existing",
            "created",
            "refund_exceeds_sale",
            "currency_differs",
            "validation_error",
            "validation_error",
            "existing",
            "conversion_differs",
            "created",
            "created",
        ]
        assert found[0]["id"] == first["id"]
        assert found[6]["id"] == found[1]["id"]
        english = await writer.api.post("/v1/refunds", json={"items": items[4:5]})
        assert english.json()["data"][0]["error"]["message"] != found[4]["error"]["message"]
        assert (await writer.api.get(f"/v1/sales/{sale['id']}")).json()["data"]["net_amount"] == "0.00"
        assert await count_rows(pool) == 5
        refunded = await pool.fetchval("SELECT sum(refunded_minor) FROM revenue_slots WHERE dimension = 0")
        assert refunded == 1000

    async def test_a_thousand_and_no_more(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        items = [{"sale_id": f"s-{number}", "amount": "1.10"} for number in range(1001)]
        assert fields_of(await post(writer, "sales", 400, items=items)) == ["items"]
        found = await post(writer, "sales", 200, items=items[:1000])
        assert {item["outcome"] for item in found} == {"created"}
        assert await count_rows(pool) == 1000
        again = await post(writer, "sales", 200, items=items[:1000])
        assert {item["outcome"] for item in again} == {"existing"}
        assert [item["id"] for item in again] == [item["id"] for item in found]

    async def test_all_refused(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        await post(writer, "sales", sale_id="s", amount="1")
        items = [{"refund_id": f"r-{number}", "sale_id": "s", "amount": "2"} for number in range(3)]
        found = await post(writer, "refunds", 200, items=items)
        assert {item["outcome"] for item in found} == {"refused"}
        assert await count_rows(pool) == 1

    async def test_amounts_of_items_are_exact_beside_faulty_ones(self, writer: KeyHolder) -> None:
        good = '{"sale_id": "a\\\\u0000", "amount": 9007199254740.93}'
        answer = await post_text(writer, "sales", f'{{"items": [{good}, {{"sale_id": 1}}]}}')
        created, refused = json.loads(answer.text)["data"]
        assert (created["outcome"], refused["outcome"]) == ("created", "refused")
        shown = (await writer.api.get(f"/v1/sales/{created['id']}")).json()["data"]
        assert (shown["amount"], shown["sale_id"]) == ("9007199254740.93", "a\\u0000")
