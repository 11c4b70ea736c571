"""Requests that come again with their Idempotency-Key."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.jobs import upkeep
from tests.dialects.tracking.conftest import REPORTING, make_holder
from tests.dialects.tracking.reporting import OWN_IDS, REPORTS, count_rows, fields_of, post
from tests.dialects.tracking.rows import add_project

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

SALE = {"sale_id": "s", "amount": "10"}

pytestmark = pytest.mark.usefixtures("project_id")


async def send(
    holder: KeyHolder, body: object, *, key: str = "order-1", name: str = "sales", **headers: str
) -> httpx.Response:
    return await holder.api.post(f"/v1/{name}", json=body, headers={"Idempotency-Key": key} | headers)


def content_of(response: httpx.Response) -> tuple[int, Any]:
    """Give status and body, without the name of the request, which is each one's own."""
    body = response.json()
    assert body.pop("request_id") == response.headers["X-Request-ID"]
    return response.status_code, body


class TestOneReport:
    @pytest.mark.parametrize("name", REPORTS)
    async def test_is_answered_again_as_it_was(
        self, pool: asyncpg.Pool, writer: KeyHolder, name: str
    ) -> None:
        first = await send(writer, REPORTS[name], name=name)
        again = await send(writer, dict(reversed(REPORTS[name].items())), name=name)
        assert first.status_code == 201
        assert content_of(first) == content_of(again)
        assert first.headers["X-Request-ID"] != again.headers["X-Request-ID"]
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await count_rows(pool) == 1

    async def test_whatever_has_become_of_it_since(self, writer: KeyHolder) -> None:
        first = await send(writer, SALE)
        await post(writer, "refunds", refund_id="r", sale_id="s", amount="4")
        assert content_of(await send(writer, SALE)) == content_of(first)
        assert (await post(writer, "sales", 200, **SALE))["net_amount"] == "6.00"

    async def test_amounts_are_the_same_however_they_are_written(self, writer: KeyHolder) -> None:
        first = await send(writer, {"sale_id": "s", "amount": 10})
        assert content_of(await send(writer, SALE)) == content_of(first)

    async def test_another_request_is_refused(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        await send(writer, SALE)
        for other in (SALE | {"amount": "11"}, SALE | {"sale_id": "s-2"}, {"items": [SALE]}):
            response = await send(writer, other)
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (422, "conflict")
            assert error["details"]["reason"] == "idempotency_key_reused"
            assert "order-1" in error["details"]["text"]
        assert await count_rows(pool) == 1

    async def test_a_refused_request_does_not_use_up_its_key(self, writer: KeyHolder) -> None:
        await post(writer, "sales", sale_id="s-0", amount="1")
        too_much = {"refund_id": "r", "sale_id": "s-0", "amount": "2"}
        assert (await send(writer, too_much, name="refunds")).status_code == 409
        assert (await send(writer, {"refund_id": "r"}, name="refunds")).status_code == 400
        assert (await send(writer, too_much | {"amount": "1"}, name="refunds")).status_code == 201

    async def test_without_a_key_it_stands_as_before(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        await post(writer, "sales", **SALE)
        await post(writer, "sales", 200, **SALE)
        assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0


class TestWhoseKeys:
    async def test_each_operation_has_its_own(self, writer: KeyHolder) -> None:
        for name, body in REPORTS.items():
            assert (await send(writer, body, name=name)).status_code == 201

    async def test_each_holder_has_its_own(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, writer: KeyHolder
    ) -> None:
        first = await send(writer, SALE)
        colleague = await make_holder(app, pool, clock(), tenant_id=writer.tenant_id, scopes=REPORTING)
        stranger = await make_holder(app, pool, clock(), scopes=REPORTING)
        await add_project(pool, stranger.tenant_id)
        for holder in (colleague, stranger):
            response = await send(holder, SALE | {"sale_id": "s-2"})
            assert (response.status_code, response.json()["data"]["sale_id"]) == (201, "s-2")
        assert content_of(await send(writer, SALE)) == content_of(first)

    @pytest.mark.parametrize("key", ["", "with space", "x" * 256, "caf\u00e9"])
    async def test_malformed_ones_are_refused(self, pool: asyncpg.Pool, writer: KeyHolder, key: str) -> None:
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        response = await writer.api.post("/v1/sales", json=SALE, headers=headers)
        assert response.status_code == 400
        (fault,) = response.json()["error"]["details"]["errors"]
        assert (fault["field"], "visible ASCII" in fault["rule"]) == ("Idempotency-Key", True)
        assert await count_rows(pool) == 0

    async def test_the_longest_serves(self, writer: KeyHolder) -> None:
        assert (await send(writer, SALE, key="~" * 255)).status_code == 201


class TestBatches:
    async def test_are_answered_again_as_they_were(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        await post(writer, "sales", sale_id="s-0", amount="1")
        items = [
            *({"sale_id": f"s-{number}", "amount": "1"} for number in range(998)),
            {"sale_id": "s-0", "amount": "2"},
            {"sale_id": 1},
        ]
        first = await send(writer, {"items": items}, **{"Accept-Language": "es"})
        again = await send(writer, {"items": items})
        assert content_of(first) == content_of(again)
        outcomes = Counter(item["outcome"] for item in first.json()["data"])
        assert outcomes == {"existing": 1, "created": 997, "refused": 2}
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await count_rows(pool) == 998

    async def test_another_one_is_refused(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        items: list[dict[str, Any]] = [{"sale_id": "s-0", "amount": "1"}, {"sale_id": 1}]
        await send(writer, {"items": items})
        for other in (items[::-1], items[:1], [items[0], {"sale_id": 2}]):
            assert (await send(writer, {"items": other})).status_code == 422
        assert await count_rows(pool) == 1


class TestAtOnce:
    async def test_twins_make_one_and_get_one_answer(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        responses = await asyncio.gather(*(send(writer, SALE) for _ in range(30)))
        assert len({str(content_of(response)) for response in responses}) == 1
        assert responses[0].status_code == 201
        replayed = [response for response in responses if "Idempotent-Replayed" in response.headers]
        assert (len(replayed), await count_rows(pool)) == (29, 1)

    async def test_of_two_that_differ_one_is_done(self, pool: asyncpg.Pool, writer: KeyHolder) -> None:
        bodies = [SALE | {"sale_id": f"s-{number % 2}"} for number in range(20)]
        responses = await asyncio.gather(*(send(writer, body) for body in bodies))
        assert Counter(response.status_code for response in responses) == {201: 10, 422: 10}
        assert await count_rows(pool) == 1

    async def test_a_twin_of_one_that_is_refused_is_judged_by_itself(self, writer: KeyHolder) -> None:
        await post(writer, "sales", sale_id="s", amount="1")
        body = {OWN_IDS["refunds"]: "r", "sale_id": "s", "amount": "2"}
        responses = await asyncio.gather(*(send(writer, body, name="refunds") for _ in range(5)))
        assert {response.status_code for response in responses} == {409}
        assert fields_of(responses[0].json()["error"]) == ["amount"]


async def test_after_a_day_the_reporters_own_id_still_counts_once(
    pool: asyncpg.Pool, settings: Settings, clock: SetClock, writer: KeyHolder
) -> None:
    first = await send(writer, SALE)
    await upkeep.trim_answers(pool, settings, clock())
    clock.advance(hours=24)
    assert content_of(await send(writer, SALE)) == content_of(first)
    clock.advance(seconds=1)
    await upkeep.trim_answers(pool, settings, clock())
    again = await send(writer, SALE)
    assert (again.status_code, again.json()["data"]) == (200, first.json()["data"])
    assert "Idempotent-Replayed" not in again.headers
    assert await count_rows(pool) == 1
