"""Checkouts, sales, refunds, upsells: every field, every filter by either id."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_clicks, add_conversions, add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder

CHECKOUT, SALE, REFUND, UPSELL = 1, 2, 3, 4
KINDS = {"checkouts": CHECKOUT, "sales": SALE, "refunds": REFUND, "upsells": UPSELL}


@pytest.fixture
async def project_id(pool: asyncpg.Pool, holder: KeyHolder) -> uuid.UUID:
    return await add_project(pool, holder.tenant_id)


async def get_ids(holder: KeyHolder, name: str, **params: Any) -> list[str]:
    response = await holder.api.get(f"/v1/{name}", params=params)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["pagination"]["total"] == len(body["data"])
    return [one["id"] for one in body["data"]]


@pytest.mark.parametrize("name", KINDS)
class TestEveryKind:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient, name: str) -> None:
        assert (await anonymous.get(f"/v1/{name}")).status_code == 401
        assert (await anonymous.get(f"/v1/{name}/{make_id(0)}")).status_code == 401

    async def test_another_tenants_is_not_found(
        self,
        pool: asyncpg.Pool,
        holder: KeyHolder,
        foreign_holder: KeyHolder,
        project_id: uuid.UUID,
        name: str,
    ) -> None:
        (one,) = await add_conversions(pool, holder.tenant_id, project_id, KINDS[name], {})
        assert (await holder.api.get(f"/v1/{name}/{one}")).status_code == 200
        for missing in (one, make_id(7), "x"):
            assert (await foreign_holder.api.get(f"/v1/{name}/{missing}")).status_code == 404
        assert await get_ids(foreign_holder, name) == []
        assert await get_ids(foreign_holder, name, project_id=str(project_id)) == []

    async def test_other_kinds_are_left_out(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        found = {
            other: await add_conversions(pool, holder.tenant_id, project_id, kind, {}, {})
            for other, kind in KINDS.items()
        }
        assert await get_ids(holder, name) == found[name]
        other = next(other for other in KINDS if other != name)
        assert (await holder.api.get(f"/v1/{name}/{found[other][0]}")).status_code == 404

    async def test_the_scope_it_needs(self, app: Any, pool: asyncpg.Pool, clock: SetClock, name: str) -> None:
        needed = "conversions:read" if name == "checkouts" else "sales:read"
        wrong = "sales:read" if name == "checkouts" else "conversions:read"
        for scope, status in ((needed, 200), (wrong, 403)):
            holder = await make_holder(app, pool, clock(), scopes=(scope,))
            assert (await holder.api.get(f"/v1/{name}")).status_code == status

    async def test_project_status_and_time(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        kind, other = KINDS[name], await add_project(pool, holder.tenant_id)
        (away,) = await add_conversions(pool, holder.tenant_id, other, kind, {}, first=9)
        ids = await add_conversions(
            pool, holder.tenant_id, project_id, kind, {"status": "pending"}, {"status": "rejected"}, {}
        )
        assert await get_ids(holder, name) == [away, *ids]
        assert await get_ids(holder, name, project_id=str(project_id)) == ids
        assert await get_ids(holder, name, status="pending") == [ids[2]]
        assert await get_ids(holder, name, status="nonsense") == []
        assert await get_ids(holder, name, to="2026-05-01T09:31:00Z") == ids[1:]
        span = {"from": "2026-05-01T09:31:00Z", "to": "2026-05-01T09:32:00Z"}
        assert await get_ids(holder, name, **span) == ids[:2]

    async def test_pages_both_ways(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        ids = await add_conversions(pool, holder.tenant_id, project_id, KINDS[name], *({} for _ in range(5)))
        first = (await holder.api.get(f"/v1/{name}", params={"per_page": 3})).json()
        place = {"per_page": 3, "cursor": first["pagination"]["next_cursor"]}
        second = (await holder.api.get(f"/v1/{name}", params=place)).json()
        assert [one["id"] for one in first["data"] + second["data"]] == ids
        place["cursor"] = second["pagination"]["prev_cursor"]
        assert (await holder.api.get(f"/v1/{name}", params=place)).json()["data"] == first["data"]
        other = next(other for other in KINDS if other != name)
        assert (await holder.api.get(f"/v1/{other}", params=place)).status_code == 400


class TestFields:
    async def get_one(self, holder: KeyHolder, name: str, one: str) -> Any:
        return (await holder.api.get(f"/v1/{name}/{one}")).json()["data"]

    async def test_a_checkout(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        said = {
            "visit_id": "v-1",
            "click_id": "c-1",
            "status": "abandoned",
            "product_id": "p-1",
            "offer_id": "o-1",
            "currency": "JPY",
            "transaction_id": "t-1",
        }
        (one,) = await add_conversions(
            pool, holder.tenant_id, project_id, CHECKOUT, said | {"external_id": "k-1"}
        )
        assert await self.get_one(holder, "checkouts", one) == said | {
            "id": one,
            "project_id": str(project_id),
            "amount": "1990",
            "checkout_id": "k-1",
            "created_at": "2026-05-01T09:30:00Z",
        }

    async def test_a_sale(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        said = {
            "visit_id": "v-1",
            "click_id": "c-1",
            "checkout_id": "k-1",
            "status": "completed",
            "product_id": "p-1",
            "offer_id": "o-1",
            "currency": "USD",
            "transaction_id": "t-1",
            "parent_sale_id": "s-0",
        }
        money = {"commission_minor": 199, "upsold_minor": 500, "refunded_minor": 90}
        (one,) = await add_conversions(
            pool, holder.tenant_id, project_id, SALE, said | money | {"external_id": "s-1"}
        )
        await add_conversions(
            pool,
            holder.tenant_id,
            project_id,
            UPSELL,
            {"amount_minor": 500, "refunded_minor": 100, "target_id": uuid.UUID(one)},
            {"status": "rejected", "refunded_minor": 100, "target_id": uuid.UUID(one)},
        )
        child = {"refunded_minor": 100, "target_id": uuid.UUID(one)}
        await add_conversions(pool, holder.tenant_id, project_id, SALE, child, first=5)
        assert await self.get_one(holder, "sales", one) == said | {
            "id": one,
            "project_id": str(project_id),
            "sale_id": "s-1",
            "amount": "19.90",
            "commission": "1.99",
            "net_amount": "23.00",
            "created_at": "2026-05-01T09:30:00Z",
        }

    @pytest.mark.parametrize("status", ["pending", "rejected"])
    async def test_what_does_not_count_has_no_net_amount(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, status: str
    ) -> None:
        (one,) = await add_conversions(pool, holder.tenant_id, project_id, SALE, {"status": status})
        assert (await self.get_one(holder, "sales", one))["net_amount"] == "0.00"

    async def test_a_refund(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        said = {
            "sale_id": "s-1",
            "status": "rejected",
            "reason": "unhappy",
            "currency": "KWD",
            "transaction_id": "t-1",
            "is_chargeback": True,
            "rejection": "more than the sale",
        }
        (one,) = await add_conversions(
            pool, holder.tenant_id, project_id, REFUND, said | {"external_id": "r-1"}
        )
        assert await self.get_one(holder, "refunds", one) == said | {
            "id": one,
            "project_id": str(project_id),
            "refund_id": "r-1",
            "amount": "1.990",
            "created_at": "2026-05-01T09:30:00Z",
        }

    async def test_an_upsell(self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID) -> None:
        said = {
            "sale_id": "s-1",
            "parent_sale_id": "s-0",
            "status": "pending",
            "offer_id": "o-1",
            "currency": "EUR",
            "transaction_id": "t-1",
        }
        (one,) = await add_conversions(
            pool, holder.tenant_id, project_id, UPSELL, said | {"external_id": "u-1"}
        )
        assert await self.get_one(holder, "upsells", one) == said | {
            "id": one,
            "project_id": str(project_id),
            "upsell_id": "u-1",
            "amount": "19.90",
            "commission": "0.00",
            "created_at": "2026-05-01T09:30:00Z",
        }

    async def test_the_click_that_it_turned_out_to_come_from(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        click_id = make_id(3)
        ids = await add_conversions(
            pool,
            holder.tenant_id,
            project_id,
            SALE,
            {"visit_id": "v", "attributed_click": click_id},
            {"click_id": "said", "attributed_click": click_id},
        )
        shown = [(await self.get_one(holder, "sales", one))["click_id"] for one in ids]
        assert shown == ["said", str(click_id)]


class TestEitherId:
    @pytest.mark.parametrize("name", ["checkouts", "sales"])
    @pytest.mark.parametrize("field", ["product_id", "offer_id", "visit_id"])
    async def test_plain_ones(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str, field: str
    ) -> None:
        visit_id = str(make_id(40))
        _none, _other, one = await add_conversions(
            pool, holder.tenant_id, project_id, KINDS[name], {field: visit_id}, {field: "x"}, {}
        )
        assert await get_ids(holder, name, **{field: visit_id}) == [one]
        assert await get_ids(holder, name, **{field: visit_id, "project_id": str(project_id)}) == [one]
        assert await get_ids(holder, name, **{field: "y"}) == []

    @pytest.mark.parametrize("name", ["checkouts", "sales"])
    async def test_click(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        page_click = {"project_id": project_id, "click_id": "c-1"}
        redirect, page = await add_clicks(pool, holder.tenant_id, page_click, {})
        other = await add_project(pool, holder.tenant_id)
        ids = await add_conversions(
            pool,
            holder.tenant_id,
            project_id,
            KINDS[name],
            {"click_id": "c-1"},
            {"click_id": page},
            {"click_id": redirect},
            {"attributed_click": uuid.UUID(redirect)},
            {"click_id": "c-2"},
        )
        (elsewhere,) = await add_conversions(
            pool, holder.tenant_id, other, KINDS[name], {"click_id": "c-1"}, first=20
        )
        assert await get_ids(holder, name, click_id="c-1") == [elsewhere, ids[3], ids[4]]
        assert await get_ids(holder, name, click_id=page) == [ids[3], ids[4]]
        assert await get_ids(holder, name, click_id=page.upper()) == [ids[3], ids[4]]
        assert await get_ids(holder, name, click_id=redirect) == [ids[1], ids[2]]
        assert await get_ids(holder, name, click_id=str(make_id(70))) == []

    async def test_checkout_of_a_sale(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        other = await add_project(pool, holder.tenant_id)
        (checkout,) = await add_conversions(
            pool, holder.tenant_id, project_id, CHECKOUT, {"external_id": "k-1"}
        )
        ids = await add_conversions(
            pool,
            holder.tenant_id,
            project_id,
            SALE,
            {"checkout_id": "k-1"},
            {"checkout_id": checkout},
            {"checkout_id": "k-2"},
        )
        (elsewhere,) = await add_conversions(
            pool, holder.tenant_id, other, SALE, {"checkout_id": "k-1"}, first=20
        )
        assert await get_ids(holder, "sales", checkout_id="k-1") == [elsewhere, ids[1], ids[2]]
        assert await get_ids(holder, "sales", checkout_id=checkout) == [ids[1], ids[2]]

    @pytest.mark.parametrize("name", ["refunds", "upsells"])
    async def test_sale_of_a_change(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID, name: str
    ) -> None:
        other = await add_project(pool, holder.tenant_id)
        (sale,) = await add_conversions(pool, holder.tenant_id, project_id, SALE, {"external_id": "s-1"})
        ids = await add_conversions(
            pool,
            holder.tenant_id,
            project_id,
            KINDS[name],
            {"sale_id": "s-1"},
            {"sale_id": sale},
            {"parent_sale_id": "s-1"},
            {"target_id": uuid.UUID(sale)},
            {"sale_id": "s-2"},
        )
        (elsewhere,) = await add_conversions(
            pool, holder.tenant_id, other, KINDS[name], {"sale_id": "s-1"}, first=20
        )
        assert await get_ids(holder, name, sale_id="s-1") == [elsewhere, *ids[1:]]
        assert await get_ids(holder, name, sale_id=sale) == ids[1:]
        assert await get_ids(holder, name, sale_id=sale, project_id=str(other)) == []
