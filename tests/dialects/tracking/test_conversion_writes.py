"""Checkouts, sales, refunds, upsells: reported one at a time and many at once."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_clicks, add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

SCOPES = ("sales:write", "sales:read", "conversions:read")
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


@pytest.fixture
async def writer(app: Any, pool: asyncpg.Pool, clock: SetClock) -> KeyHolder:
    return await make_holder(app, pool, clock(), scopes=SCOPES)


@pytest.fixture
async def project_id(pool: asyncpg.Pool, writer: KeyHolder) -> uuid.UUID:
    return await add_project(pool, writer.tenant_id)


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


@pytest.mark.usefixtures("project_id")
@pytest.mark.parametrize("name", REPORTS)
class TestEveryKind:
    async def test_is_created_and_read_back(
        self, writer: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        made = await post(writer, name, **REPORTS[name])
        shown = (await writer.api.get(f"/v1/{name}/{made['id']}")).json()["data"]
        assert made == shown
        assert {field: shown[field] for field in REPORTS[name]} == REPORTS[name]
        assert shown["project_id"] == str(project_id)

    async def test_a_repeat_is_answered_as_it_stands(
        self, pool: asyncpg.Pool, writer: KeyHolder, name: str
    ) -> None:
        made = await post(writer, name, **REPORTS[name])
        assert await post(writer, name, 200, **REPORTS[name]) == made
        own = OWN_IDS[name]
        short = {field: REPORTS[name][field] for field in (own, "sale_id", "amount") if field in made}
        assert await post(writer, name, 200, **short) == made
        assert await count_rows(pool) == 1

    async def test_what_differs_is_named(self, pool: asyncpg.Pool, writer: KeyHolder, name: str) -> None:
        made = await post(writer, name, **REPORTS[name])
        error = await post(writer, name, 409, **REPORTS[name] | {"amount": "19.91", "transaction_id": "x"})
        assert (error["code"], error["details"]["reason"]) == ("conflict", "conversion_differs")
        assert set(fields_of(error)) == {"amount", "transaction_id"}
        assert await post(writer, name, 200, **REPORTS[name]) == made
        assert await count_rows(pool) == 1

    async def test_who_may(
        self, anonymous: httpx.AsyncClient, pool: asyncpg.Pool, holder: KeyHolder, name: str
    ) -> None:
        assert (await anonymous.post(f"/v1/{name}", json=REPORTS[name])).status_code == 401
        error = await post(holder, name, 403, **REPORTS[name])
        assert error["code"] == "forbidden"
        assert await count_rows(pool) == 0

    async def test_its_own_id_is_required(self, writer: KeyHolder, name: str) -> None:
        own = OWN_IDS[name]
        for wrong in (None, "", "x" * 256):
            body = REPORTS[name] | {own: wrong}
            if wrong is None:
                del body[own]
            error = await post(writer, name, 400, **body)
            assert (error["code"], fields_of(error)) == ("validation_error", [own])
        assert (await post(writer, name, **REPORTS[name] | {own: "x" * 255}))[own] == "x" * 255


@pytest.mark.usefixtures("project_id")
class TestAmounts:
    @pytest.mark.parametrize(
        ("currency", "written", "shown"),
        [
            ("USD", '"19.90"', "19.90"),
            ("USD", "19.90", "19.90"),
            ("USD", "19.9", "19.90"),
            ("USD", "1e3", "1000.00"),
            ("USD", "0.29", "0.29"),
            ("USD", "9999999999999.99", "9999999999999.99"),
            ("JPY", "1990", "1990"),
            ("JPY", '"1990.0"', "1990"),
            ("KWD", "1.005", "1.005"),
        ],
    )
    async def test_are_read_exactly(self, writer: KeyHolder, currency: str, written: str, shown: str) -> None:
        body = f'{{"sale_id": "a", "amount": {written}, "currency": "{currency}"}}'
        answer = await post_text(writer, "sales", body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["data"]["amount"] == shown

    @pytest.mark.parametrize(
        ("currency", "written"),
        [
            ("USD", "19.901"),
            ("USD", "0.99999999999999999999999999999"),
            ("USD", "1e-2000000"),
            ("USD", "-1"),
            ("USD", '"-0.01"'),
            ("USD", '""'),
            ("USD", '"NaN"'),
            ("USD", "true"),
            ("USD", "[1]"),
            ("USD", "10000000000000"),
            ("JPY", "19.9"),
            ("KWD", "1.0005"),
        ],
    )
    async def test_what_is_none_is_refused(
        self, pool: asyncpg.Pool, writer: KeyHolder, currency: str, written: str
    ) -> None:
        body = f'{{"sale_id": "a", "amount": {written}, "currency": "{currency}"}}'
        answer = await post_text(writer, "sales", body)
        assert answer.status_code == 400, answer.text
        (fault,) = answer.json()["error"]["details"]["errors"]
        assert (fault["field"], "value" in fault, bool(fault["rule"])) == ("amount", True, True)
        assert await count_rows(pool) == 0

    async def test_may_be_left_out_of_checkouts_only(self, writer: KeyHolder) -> None:
        assert (await post(writer, "checkouts", checkout_id="c"))["amount"] == "0.00"
        assert fields_of(await post(writer, "sales", 400, sale_id="s")) == ["amount"]

    async def test_every_fault_is_named(self, writer: KeyHolder) -> None:
        error = await post(writer, "refunds", 400, refund_id="r", sale_id="s", currency="XXL", status="done")
        assert fields_of(error) == ["status", "amount", "currency"]
        answer = await post_text(writer, "sales", '{"sale_id": 1, "visit_id": "\\u0000", "amount": 1.5}')
        assert fields_of(answer.json()["error"]) == ["sale_id", "visit_id"]

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "1", '{"items": {}}', '{"items": []}', '{"sale_id": "\xff']
    )
    async def test_bodies_that_are_none(self, writer: KeyHolder, text: str) -> None:
        answer = await writer.api.post(
            "/v1/sales", content=text.encode("latin-1"), headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "validation_error")

    async def test_other_media_types(self, writer: KeyHolder) -> None:
        answer = await writer.api.post("/v1/sales", content=b"{}", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415


class TestProject:
    async def test_of_another_tenant_is_refused(
        self, pool: asyncpg.Pool, writer: KeyHolder, foreign_holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        foreign = await add_project(pool, foreign_holder.tenant_id)
        for wrong in (foreign, make_id(9)):
            error = await post(writer, "sales", 400, sale_id="s", amount="1", project_id=str(wrong))
            (fault,) = error["details"]["errors"]
            assert (fault["field"], fault["value"]) == ("project_id", f'"{wrong}"')
        assert fields_of(await post(writer, "sales", 400, sale_id="s", amount="1", project_id="x")) == [
            "project_id"
        ]
        await post(writer, "sales", sale_id="s", amount="1", project_id=str(project_id))

    async def test_may_be_left_out_where_there_is_one(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        assert fields_of(await post(writer, "sales", 400, sale_id="s", amount="1")) == ["project_id"]
        only = await add_project(pool, writer.tenant_id, currency="JPY")
        made = await post(writer, "sales", sale_id="s", amount="1")
        assert (made["project_id"], made["currency"]) == (str(only), "JPY")
        await add_project(pool, writer.tenant_id)
        assert fields_of(await post(writer, "sales", 400, sale_id="s", amount="1")) == ["project_id"]

    async def test_that_is_paused_takes_nothing(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        await add_project(pool, writer.tenant_id, status="paused")
        error = await post(writer, "sales", 400, sale_id="s", amount="1")
        assert "paused" in error["details"]["errors"][0]["rule"]

    async def test_another_currency_by_default_is_no_difference(
        self, pool: asyncpg.Pool, writer: KeyHolder, project_id: uuid.UUID
    ) -> None:
        made = await post(writer, "sales", sale_id="s", amount="1.50")
        await pool.execute("UPDATE projects SET currency = 'JPY' WHERE id = $1", project_id)
        assert await post(writer, "sales", 200, sale_id="s", amount="1.50") == made

    @pytest.mark.usefixtures("project_id")
    async def test_another_tenants_sale_is_not_refunded(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, writer: KeyHolder
    ) -> None:
        other = await make_holder(app, pool, clock(), scopes=SCOPES)
        await add_project(pool, other.tenant_id)
        sale = await post(writer, "sales", sale_id="s", amount="10")
        for number, word in enumerate(("s", sale["id"])):
            await post(other, "refunds", refund_id=f"r-{number}", sale_id=word, amount="10")
        assert (await writer.api.get(f"/v1/sales/{sale['id']}")).json()["data"]["net_amount"] == "10.00"
        assert (await other.api.get("/v1/sales")).json()["data"] == []


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


async def test_errors_are_said_in_the_callers_language(writer: KeyHolder, project_id: uuid.UUID) -> None:
    messages = set()
    for language in ("en", "pt-BR", "es"):
        answer = await writer.api.post(
            "/v1/sales", json={"project_id": str(project_id)}, headers={"Accept-Language": language}
        )
        assert answer.headers["Content-Language"] == language
        messages.add(answer.json()["error"]["message"])
    assert len(messages) == 3
