"""What changes a checkout or sale that was reported: its status, refunds, upsells."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.dialects.tracking.reporting import OWN_IDS, count_rows, fields_of, post
from tests.dialects.tracking.rows import add_clicks

if TYPE_CHECKING:
    import asyncpg

    from tests.dialects.tracking.conftest import KeyHolder


@pytest.mark.usefixtures("project_id")
class TestStatus:
    @pytest.mark.parametrize(
        ("steps", "end"),
        [
            (("pending", "completed", "pending"), "completed"),
            (("pending", "rejected", "pending", "completed"), "rejected"),
            (("completed", "rejected", "completed"), "rejected"),
            (("pending", None), "pending"),
            (("rejected",), "rejected"),
        ],
    )
    async def test_moves_on_and_never_back(
        self, writer: KeyHolder, steps: tuple[str | None, ...], end: str
    ) -> None:
        for number, status in enumerate(steps):
            made = await post(writer, "sales", 200 if number else 201, sale_id="s", amount="1", status=status)
        assert made["status"] == end

    async def test_a_report_that_differs_moves_nothing(self, writer: KeyHolder) -> None:
        made = await post(writer, "sales", sale_id="s", amount="1", status="pending")
        items = [{"sale_id": "s", "amount": "2", "status": "completed"}]
        (item,) = await post(writer, "sales", 200, items=items)
        assert (item["outcome"], item["error"]["details"]["reason"]) == ("refused", "conversion_differs")
        assert (await writer.api.get(f"/v1/sales/{made['id']}")).json()["data"] == made

    async def test_a_sale_marks_its_click(
        self, pool: asyncpg.Pool, writer: KeyHolder, project_id: uuid.UUID
    ) -> None:
        of_link = {"project_id": project_id, "link_id": uuid.UUID(int=7), "variant_id": uuid.UUID(int=8)}
        (click,) = await add_clicks(pool, writer.tenant_id, of_link)
        made = await post(writer, "sales", sale_id="s", amount="1", click_id=click)
        assert made["click_id"] == click
        assert await pool.fetchval("SELECT is_conversion FROM clicks")
        sums = "SELECT sum(sales), sum(conversions) FROM traffic_slots WHERE subject = $1"
        assert tuple(await pool.fetchrow(sums, project_id) or ()) == (1, 1)
        await post(writer, "sales", 200, sale_id="s", amount="1", status="rejected")
        assert not await pool.fetchval("SELECT is_conversion FROM clicks")
        assert tuple(await pool.fetchrow(sums, project_id) or ()) == (0, 0)


@pytest.mark.usefixtures("project_id")
class TestRefunds:
    async def test_take_back_no_more_than_there_is(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        sale = await post(writer, "sales", sale_id="s", amount="19.90")
        await post(writer, "refunds", refund_id="r-1", sale_id="s", amount="5.00")
        error = await post(writer, "refunds", 409, refund_id="r-2", sale_id=sale["id"], amount="14.91")
        assert error["details"]["reason"] == "refund_exceeds_sale"
        (fault,) = error["details"]["errors"]
        assert (fault["field"], fault["value"]) == ("amount", '"14.91"')
        assert "14.90 USD" in fault["rule"]
        assert "19.90 USD" in fault["rule"]
        assert await count_rows(pool) == 2
        await post(writer, "refunds", refund_id="r-2", sale_id=sale["id"], amount="14.90")
        assert (await writer.api.get(f"/v1/sales/{sale['id']}")).json()["data"]["net_amount"] == "0.00"

    @pytest.mark.parametrize("name", ["refunds", "upsells"])
    async def test_in_another_currency_are_refused(
        self, pool: asyncpg.Pool, writer: KeyHolder, name: str
    ) -> None:
        await post(writer, "sales", sale_id="s", amount="19.90")
        body = {OWN_IDS[name]: "x", "sale_id": "s", "amount": "1", "currency": "EUR"}
        error = await post(writer, name, 409, **body)
        assert (error["details"]["reason"], fields_of(error)) == ("currency_differs", ["currency"])
        assert await count_rows(pool) == 1

    async def test_wait_for_their_sale(self, writer: KeyHolder) -> None:
        refund = await post(writer, "refunds", refund_id="r", sale_id="s", amount="5")
        assert refund["status"] == "completed"
        assert (await post(writer, "sales", sale_id="s", amount="19.90"))["net_amount"] == "14.90"

    async def test_a_pending_one_that_cannot_be_completed(self, writer: KeyHolder) -> None:
        await post(writer, "sales", sale_id="s", amount="10")
        body = {"refund_id": "r", "sale_id": "s", "amount": "8"}
        made = await post(writer, "refunds", **body, status="pending")
        await post(writer, "refunds", refund_id="r-2", sale_id="s", amount="8")
        error = await post(writer, "refunds", 409, **body, status="completed")
        assert error["details"]["reason"] == "refund_exceeds_sale"
        assert (await writer.api.get(f"/v1/refunds/{made['id']}")).json()["data"] == made

    async def test_twenty_at_once_keep_the_limit(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        sale = await post(writer, "sales", sale_id="s", amount="10")
        answers = await asyncio.gather(
            *(
                writer.api.post(
                    "/v1/refunds", json={"refund_id": f"r-{number}", "sale_id": "s", "amount": "1.50"}
                )
                for number in range(20)
            )
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 6 + [409] * 14
        assert (await writer.api.get(f"/v1/sales/{sale['id']}")).json()["data"]["net_amount"] == "1.00"
        assert await count_rows(pool) == 7
        refunded = await pool.fetchval("SELECT sum(refunded_minor) FROM revenue_slots WHERE dimension = 0")
        assert refunded == 900

    async def test_the_same_twenty_times_at_once_is_one(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        answers = await asyncio.gather(
            *(writer.api.post("/v1/sales", json={"sale_id": "s", "amount": "10"}) for _ in range(20))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert len({answer.json()["data"]["id"] for answer in answers}) == 1
        assert await count_rows(pool) == 1
