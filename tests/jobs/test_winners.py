"""The clock that looks for winners, on real rows of clicks and conversions."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.ids import id_floor, new_id
from control_plane.jobs.winners import look_for_winners
from control_plane.pipeline import publisher
from control_plane.settings import Settings
from edge.contract import redis_keys
from edge.contract.link_record import decode_link
from tests.builders import LinkRow, insert_link, insert_user

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from control_plane.db.pool import Pool
    from edge.contract.redis_shards import RedisShards

BEGIN = datetime(2026, 5, 4, 10, tzinfo=UTC)
NOW = BEGIN + timedelta(days=3)
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, jwt_secret="s" * 32)


class Shop:
    """One link under test, and the visitors of its variants."""

    def __init__(self, pool: Pool, link: LinkRow, project_id: uuid.UUID) -> None:
        self.pool, self.link, self.project_id = pool, link, project_id
        self.made = 0

    def make_id(self, moment: datetime) -> uuid.UUID:
        self.made += 1
        return uuid.UUID(int=id_floor(moment).int | 7 << 76 | self.made)

    async def visit(  # noqa: PLR0913  what visitors do
        self,
        variant: int,
        visitors: int,
        sales: int = 0,
        *,
        after: timedelta = HOUR,
        amount: int = 1000,
        currency: str = "USD",
        at: datetime = BEGIN + HOUR,
        **changes: Any,
    ) -> list[uuid.UUID]:
        """Let `visitors` come and the first `sales` of them buy, `after` their click; give the sales' ids."""
        link, chosen = self.link, self.link.variants[variant].id
        columns = {"is_unique": True, "is_bot": False, "reason": 4, "link_version": 1} | changes
        clicks = [self.make_id(at) for _ in range(visitors)]
        sold = [self.make_id(at + after) for _ in range(sales)]
        await self.pool.executemany(
            "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason,"
            " is_prefetch, is_bot, is_conversion, verdict_version, landed_at, is_unique)"
            " VALUES ($1, $2, $3, $4, $5, $6, false, $7, false, 2, $8, $9)",
            [
                (
                    link.tenant_id,
                    one,
                    link.id,
                    chosen,
                    columns["link_version"],
                    columns["reason"],
                    columns["is_bot"],
                    at,
                    columns["is_unique"],
                )
                for one in clicks
            ],
        )
        await self.pool.executemany(
            "INSERT INTO conversions (tenant_id, id, project_id, kind, external_id, status, currency,"
            " amount_minor, source, attributed_click, link_id, variant_id, clicked_at, counted_at, landed_at,"
            " updated_at)"
            " VALUES ($1, $2, $3, 2, $4, 'completed', $5, $6, 'api', $7, $8, $9, $10, $10, $10, $10)",
            [
                (
                    link.tenant_id,
                    sale,
                    self.project_id,
                    str(sale),
                    currency,
                    amount,
                    click,
                    link.id,
                    chosen,
                    at,
                )
                for sale, click in zip(sold, clicks, strict=False)
            ],
        )
        return sold

    async def set(self, **columns: Any) -> None:
        for name, value in columns.items():
            await self.pool.execute(f"UPDATE links SET {name} = $2 WHERE id = $1", self.link.id, value)

    async def decisions(self) -> list[Any]:
        return await self.pool.fetch(
            "SELECT outcome, reason, variant_label, link_version, data, review FROM winner_decisions"
            " WHERE link_id = $1 ORDER BY decided_at",
            self.link.id,
        )

    async def winner(self) -> str | None:
        label: str | None = await self.pool.fetchval(
            "SELECT label FROM variants WHERE link_id = $1 AND is_winner", self.link.id
        )
        return label


async def open_shop(pool: Pool, slug: str = "shoes") -> Shop:
    async with pool.acquire() as db:
        tenant_id, user_id = await insert_user(db)
        shop = Shop(pool, LinkRow(tenant_id=tenant_id, user_id=user_id, slug=slug), new_id())
        await insert_link(db, shop.link)
    await pool.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at) VALUES ($1, $2, 'Shop', $3, $3)",
        tenant_id,
        shop.project_id,
        BEGIN,
    )
    await shop.set(auto_winner=True, auto_winner_threshold=100, created_at=BEGIN)
    return shop


@pytest.fixture
async def shop(pool: Pool) -> Shop:
    return await open_shop(pool)


class TestWinner:
    async def test_reaches_the_edge_with_its_reasons(
        self, shop: Shop, pool: Pool, settings: Settings, redis: Redis, shards: RedisShards
    ) -> None:
        await shop.visit(0, 300, 10)
        await shop.visit(1, 300, 60)
        await look_for_winners(pool, settings, NOW)
        assert await shop.winner() == "b"
        (decision,) = await shop.decisions()
        assert (decision["outcome"], decision["reason"], decision["link_version"]) == (
            "winner",
            "evidence",
            2,
        )
        counted = {one["label"]: (one["trials"], one["conversions"]) for one in decision["data"]["variants"]}
        assert counted == {"a": (300, 10), "b": (300, 60)}
        assert decision["data"]["variants"][1]["evidence"]["a"] > decision["data"]["evidence_needed"]
        async with pool.acquire() as db:
            await publisher.publish_changes(db, shards)
        value = await redis.get(redis_keys.link("shoes"))
        assert isinstance(value, bytes)
        record = decode_link(value)
        assert (record.version, record.winner) == (2, 1)
        audit = await pool.fetch("SELECT actor_kind, action FROM audit_log")
        assert [tuple(row) for row in audit] == [("system", "link.winner")]

    async def test_is_declared_once(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.visit(0, 300, 10)
        await shop.visit(1, 300, 60)
        for minute in range(3):
            await look_for_winners(pool, settings, NOW + timedelta(minutes=minute))
        assert len(await shop.decisions()) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"is_bot": True},
            {"is_unique": False},
            {"reason": 5},
            {"reason": 1},
            {"link_version": 0},
            {"after": timedelta(hours=25)},
            {"at": NOW - timedelta(hours=23)},
        ],
        ids=["bots", "repeats", "sticky", "winner", "older experiment", "late sales", "within the lag"],
    )
    async def test_is_not_made_by_what_does_not_count(
        self, shop: Shop, pool: Pool, settings: Settings, changes: dict[str, Any]
    ) -> None:
        await shop.visit(0, 300, 10)
        await shop.visit(1, 300, 12)
        await shop.visit(1, 60, 60, **changes)
        await shop.visit(0, 60, 0, **changes)
        await look_for_winners(pool, settings, NOW)
        assert await shop.decisions() == []

    async def test_by_revenue(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.set(auto_winner_goal="revenue_per_visitor")
        await shop.visit(0, 300, 40, amount=1000)
        await shop.visit(1, 300, 40, amount=9000)
        await look_for_winners(pool, settings, NOW)
        (decision,) = await shop.decisions()
        assert decision["variant_label"] == "b"
        assert [one["revenue"] for one in decision["data"]["variants"]] == [40_000, 360_000]

    async def test_waits_for_enough_visitors(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.visit(0, 49, 0)
        await shop.visit(1, 50, 40)
        await look_for_winners(pool, settings, NOW)
        assert await shop.decisions() == []
        await shop.visit(0, 1, 0)
        await look_for_winners(pool, settings, NOW + timedelta(minutes=61))
        assert await shop.winner() == "b"


class TestNoWinner:
    async def test_of_a_split_that_is_not_by_the_weights(
        self, shop: Shop, pool: Pool, settings: Settings
    ) -> None:
        await shop.visit(0, 300, 10)
        await shop.visit(1, 500, 200)
        await look_for_winners(pool, settings, NOW)
        assert await shop.decisions() == []
        await look_for_winners(pool, settings, BEGIN + timedelta(days=92))
        (decision,) = await shop.decisions()
        assert (decision["outcome"], decision["reason"]) == ("no_winner", "sample_ratio_mismatch")
        assert await shop.winner() is None

    async def test_of_mixed_currencies(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.set(auto_winner_goal="revenue_per_visitor")
        await shop.visit(0, 300, 10)
        await shop.visit(1, 300, 60, currency="EUR")
        await look_for_winners(pool, settings, BEGIN + timedelta(days=92))
        (decision,) = await shop.decisions()
        assert (decision["outcome"], decision["reason"]) == ("no_winner", "mixed_currencies")

    async def test_after_the_horizon(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.visit(0, 300, 30)
        await shop.visit(1, 300, 31)
        await look_for_winners(pool, settings, BEGIN + timedelta(days=90))
        assert await shop.decisions() == []
        await look_for_winners(pool, settings, BEGIN + timedelta(days=92))
        (decision,) = await shop.decisions()
        assert (decision["outcome"], decision["reason"]) == ("no_winner", "undecided")


class TestReview:
    async def test_tells_that_refunds_took_the_reason_away(
        self, shop: Shop, pool: Pool, settings: Settings
    ) -> None:
        await shop.set(auto_winner_goal="revenue_per_visitor")
        await shop.visit(0, 300, 30)
        sold = await shop.visit(1, 300, 90)
        await look_for_winners(pool, settings, NOW)
        assert await shop.winner() == "b"
        await pool.executemany(
            "INSERT INTO conversions (tenant_id, id, project_id, kind, external_id, status, currency,"
            " amount_minor, source, target_id, counted_at, landed_at, updated_at)"
            " VALUES ($1, $2, $3, 3, $4, 'completed', 'USD', 1000, 'api', $5, $6, $6, $6)",
            [
                (shop.link.tenant_id, shop.make_id(NOW + HOUR), shop.project_id, f"r{sale}", sale, NOW)
                for sale in sold[:60]
            ],
        )
        await pool.execute("UPDATE conversions SET refunded_minor = 1000 WHERE id = ANY($1)", sold[:60])
        await look_for_winners(pool, settings, NOW + timedelta(hours=2))
        (decision,) = await shop.decisions()
        assert decision["review"]["reason"] == "undecided"
        assert [one["revenue"] for one in decision["review"]["variants"]] == [30_000, 30_000]
        assert await shop.winner() == "b"


class TestJob:
    async def test_one_broken_link_holds_up_no_other(
        self, shop: Shop, pool: Pool, settings: Settings
    ) -> None:
        broken = await open_shop(pool, "broken")
        for one in (broken, shop):
            await one.visit(0, 300, 10)
            await one.visit(1, 300, 60)
        await pool.execute(f"ALTER TABLE winner_decisions ADD CHECK (link_id <> '{broken.link.id}')")
        await look_for_winners(pool, settings, NOW)
        assert await shop.winner() == "b"
        assert await broken.winner() is None
        assert await broken.decisions() == []

    async def test_passes_over_what_is_off(self, shop: Shop, pool: Pool, settings: Settings) -> None:
        await shop.visit(0, 300, 10)
        await shop.visit(1, 300, 60)
        for column, value in (("auto_winner", False), ("is_active", False), ("routing_type", "geo")):
            before = await pool.fetchval(f"SELECT {column} FROM links WHERE id = $1", shop.link.id)
            await shop.set(**{column: value})
            await look_for_winners(pool, settings, NOW)
            await shop.set(**{column: before})
        assert await shop.decisions() == []
