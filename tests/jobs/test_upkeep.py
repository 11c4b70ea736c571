from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from control_plane.core.ids import id_floor
from control_plane.db.partitions import PARTITIONED_TABLES
from control_plane.jobs import upkeep
from control_plane.pipeline.visitors import PARTS
from control_plane.settings import Settings

if TYPE_CHECKING:
    from control_plane.db.pool import Connection, Pool

NOW = datetime(2031, 3, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url="redis://unused.example",
        jwt_secret="s" * 32,
        click_retention_months=2,
    )


@pytest.fixture
async def only_default(pool: Pool) -> None:
    """Take away the partitions of today, so that only those that a test makes are there."""
    for name in await list_partitions(pool):
        await pool.execute(f"DROP TABLE {name}")


async def list_partitions(pool: Pool) -> list[str]:
    rows = await pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'clicks'::regclass AND inhrelid <> 'clicks_default'::regclass ORDER BY 1"
    )
    return [row["name"] for row in rows]


async def insert_click(db: Connection | Pool, moment: datetime) -> UUID:
    click_id = UUID(int=id_floor(moment).int + 1)
    await db.execute(
        "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch,"
        " is_bot, is_conversion, verdict_version, landed_at)"
        " VALUES ($1, $2, $1, $1, 1, 4, false, false, false, 1, $3)",
        uuid4(),
        click_id,
        moment,
    )
    return click_id


@pytest.mark.usefixtures("only_default")
class TestMakePartitions:
    async def test_last_month_to_three_ahead_are_there(self, pool: Pool, settings: Settings) -> None:
        await upkeep.make_partitions(pool, settings, NOW)
        await upkeep.make_partitions(pool, settings, NOW)
        months = ("203102", "203103", "203104", "203105", "203106")
        assert await list_partitions(pool) == [f"clicks_{month}" for month in months]

    async def test_clicks_of_a_month_go_to_its_partition(self, pool: Pool, settings: Settings) -> None:
        await upkeep.make_partitions(pool, settings, NOW)
        for moment in (datetime(2031, 3, 1, tzinfo=UTC), NOW):
            await insert_click(pool, moment)
        await insert_click(pool, datetime(2031, 4, 1, tzinfo=UTC))
        assert await pool.fetchval("SELECT count(*) FROM clicks_203103") == 2
        assert await pool.fetchval("SELECT count(*) FROM clicks_203104") == 1

    async def test_clicks_in_the_default_partition_move(self, pool: Pool, settings: Settings) -> None:
        early = await insert_click(pool, NOW)
        elsewhere = await insert_click(pool, datetime(2029, 1, 1, tzinfo=UTC))
        assert await pool.fetchval("SELECT count(*) FROM clicks_default") == 2
        await upkeep.make_partitions(pool, settings, NOW)
        assert await pool.fetchval("SELECT id FROM clicks_203103") == early
        assert await pool.fetchval("SELECT id FROM clicks_default") == elsewhere

    async def test_every_table_that_is_partitioned_by_range_is_known(self, pool: Pool) -> None:
        rows = await pool.fetch(
            "SELECT partrelid::regclass::text AS name FROM pg_partitioned_table WHERE partstrat = 'r'"
        )
        assert {row["name"] for row in rows} == set(PARTITIONED_TABLES)


@pytest.mark.usefixtures("only_default")
class TestDropPartitions:
    async def make_months(self, pool: Pool, *months: int) -> None:
        for month in months:
            await pool.execute(
                "SELECT ensure_month_partition('clicks', $1)", datetime(2031, month, 1, tzinfo=UTC)
            )

    async def test_only_whole_months_beyond_the_retention_go(self, pool: Pool, settings: Settings) -> None:
        await self.make_months(pool, 11, 12)
        await self.make_months(pool, 1, 2, 3, 4)
        await pool.execute("SELECT ensure_month_partition('clicks', '2030-12-15')")
        await upkeep.drop_partitions(pool, settings, NOW)
        # On 31 March, two months back is 31 January: every click of January may be younger.
        months = ("203101", "203102", "203103", "203104", "203111", "203112")
        assert await list_partitions(pool) == [f"clicks_{month}" for month in months]

    async def test_expired_clicks_in_the_default_partition_go(self, pool: Pool, settings: Settings) -> None:
        await insert_click(pool, datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC))
        kept = await insert_click(pool, datetime(2031, 1, 1, tzinfo=UTC))
        await upkeep.drop_partitions(pool, settings, NOW)
        assert [row["id"] for row in await pool.fetch("SELECT id FROM clicks")] == [kept]

    async def test_zero_keeps_everything(self, pool: Pool, settings: Settings) -> None:
        await self.make_months(pool, 1)
        await insert_click(pool, datetime(2020, 1, 1, tzinfo=UTC))
        forever = Settings(
            database_url=settings.database_url, redis_url=settings.redis_url, jwt_secret=settings.jwt_secret
        )
        await upkeep.drop_partitions(pool, forever, NOW + timedelta(days=3650))
        assert await list_partitions(pool) == ["clicks_203101"]
        assert await pool.fetchval("SELECT count(*) FROM clicks") == 1

    async def test_a_busy_table_is_left_for_the_next_time(self, pool: Pool, settings: Settings) -> None:
        await pool.execute("SELECT ensure_month_partition('clicks', '2030-01-15')")
        async with pool.acquire() as reader, reader.transaction():
            await reader.execute("LOCK TABLE clicks_203001 IN ACCESS SHARE MODE")
            await upkeep.drop_partitions(pool, settings, NOW)
            assert await list_partitions(pool) == ["clicks_203001"]
        await upkeep.drop_partitions(pool, settings, NOW)
        assert await list_partitions(pool) == []


class TestTrim:
    async def test_silent_journals_are_forgotten(self, pool: Pool, settings: Settings) -> None:
        silent, recent = uuid4(), uuid4()
        await pool.executemany(
            "INSERT INTO journal_ledger (journal_id, updated_at) VALUES ($1, $2)",
            [(silent, NOW - timedelta(days=91)), (recent, NOW - timedelta(days=89))],
        )
        await upkeep.trim_journal_ledger(pool, settings, NOW)
        assert [row["journal_id"] for row in await pool.fetch("SELECT * FROM journal_ledger")] == [recent]

    async def test_old_log_and_statistics_of_jobs_go(self, pool: Pool, settings: Settings) -> None:
        for days in (29, 31):
            created = NOW - timedelta(days=days)
            await pool.execute(
                "INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)"
                " VALUES ($1, $2, 'successful', 0, 'mail')",
                created,
                days,
            )
            await pool.execute(
                "INSERT INTO pgqueuer_statistics (created, count, priority, status, entrypoint)"
                " VALUES ($1, $2, 0, 'successful', 'mail')",
                created,
                days,
            )
        await upkeep.trim_job_log(pool, settings, NOW)
        assert [row["job_id"] for row in await pool.fetch("SELECT job_id FROM pgqueuer_log")] == [29]
        assert [row["count"] for row in await pool.fetch("SELECT count FROM pgqueuer_statistics")] == [29]


class TestTrimDeadMessages:
    async def test_only_old_ones_that_are_dead_go(self, pool: Pool, settings: Settings) -> None:
        for entrypoint, status, age in (
            ("send_message", "failed", 31),
            ("send_message", "failed", 29),
            ("send_message", "queued", 31),
            ("another", "failed", 31),
        ):
            await pool.execute(
                "INSERT INTO pgqueuer (priority, entrypoint, payload, status, updated)"
                " VALUES (0, $1, '', $2, $3)",
                entrypoint,
                status,
                NOW - timedelta(days=age),
            )
        await upkeep.trim_dead_messages(pool, settings, NOW)
        rows = await pool.fetch(
            "SELECT entrypoint, status, $1 - updated AS age FROM pgqueuer ORDER BY id", NOW
        )
        assert [(row["entrypoint"], row["status"], row["age"].days) for row in rows] == [
            ("send_message", "failed", 29),
            ("send_message", "queued", 31),
            ("another", "failed", 31),
        ]


class TestForgetVisitors:
    async def test_old_salts_and_the_part_of_tomorrow_go(self, pool: Pool, settings: Settings) -> None:
        today = NOW.date()
        days = [today - timedelta(days=back) for back in (0, 5, 6, 7)]
        for day in days:
            part = (day - datetime(1970, 1, 1, tzinfo=UTC).date()).days % PARTS
            await pool.execute("INSERT INTO visitor_salts VALUES ($1, $2)", day, b"s")
            await pool.execute("INSERT INTO visitors_seen VALUES ($1, $2, $3, 1)", part, uuid4(), day)
        await upkeep.forget_visitors(pool, settings, NOW)
        kept = await pool.fetch("SELECT day FROM visitor_salts ORDER BY day DESC")
        assert [row["day"] for row in kept] == days[:2]
        seen = await pool.fetch("SELECT day FROM visitors_seen ORDER BY day DESC")
        assert [row["day"] for row in seen] == days[:3]


class TestTrimAnswers:
    async def test_only_old_answers_go(self, pool: Pool, settings: Settings) -> None:
        for key, hours, answer in (("old", 25, b"[]"), ("young", 23, b"[]"), ("without", 25, None)):
            await pool.execute(
                "INSERT INTO idempotency_keys (tenant_id, holder_id, endpoint, key, fingerprint, created_at,"
                " answer) VALUES ($1, $1, 'sale.report', $2, '', $3, $4)",
                UUID(int=1),
                key,
                NOW - timedelta(hours=hours),
                answer,
            )
        await upkeep.trim_answers(pool, settings, NOW)
        kept = await pool.fetch("SELECT key FROM idempotency_keys ORDER BY key")
        assert [row["key"] for row in kept] == ["without", "young"]
