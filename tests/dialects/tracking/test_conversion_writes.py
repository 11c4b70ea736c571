"""Checkouts, sales, refunds, upsells: reported one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import REPORTING, make_holder
from tests.dialects.tracking.reporting import OWN_IDS, REPORTS, count_rows, fields_of, post, post_text
from tests.dialects.tracking.rows import add_project, make_id

if TYPE_CHECKING:
    import uuid

    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder


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
        other = await make_holder(app, pool, clock(), scopes=REPORTING)
        await add_project(pool, other.tenant_id)
        sale = await post(writer, "sales", sale_id="s", amount="10")
        for number, word in enumerate(("s", sale["id"])):
            await post(other, "refunds", refund_id=f"r-{number}", sale_id=word, amount="10")
        assert (await writer.api.get(f"/v1/sales/{sale['id']}")).json()["data"]["net_amount"] == "10.00"
        assert (await other.api.get("/v1/sales")).json()["data"] == []


async def test_errors_are_said_in_the_callers_language(writer: KeyHolder, project_id: uuid.UUID) -> None:
    messages = set()
    for language in ("en", "pt-BR", "es"):
        answer = await writer.api.post(
            "/v1/sales", json={"project_id": str(project_id)}, headers={"Accept-Language": language}
        )
        assert answer.headers["Content-Language"] == language
        messages.add(answer.json()["error"]["message"])
    assert len(messages) == 3
