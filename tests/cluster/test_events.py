from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from deploy import doctor
from edge.contract import redis_keys
from edge.contract.events import encode_event
from edge.contract.partitions import count_waiting, read_partitions
from edge.shipper import PARTITIONS_IN_CLUSTER, Shipper
from edge.spool import Spool
from edge.worker import end_tasks
from tests.builders import LinkRow, VariantRow, insert_link, insert_user
from tests.chaos.chaos_stack import SLUGS
from tests.chaos.visitors import Visitors
from tests.edge.factories import make_click
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from control_plane.settings import Settings
    from edge.contract.redis_shards import RedisShards
    from tests.cluster.conftest import Pipeline
    from tests.cluster.valkey_cluster import ValkeyCluster
    from tests.edge.processes import EdgeProcesses

pytestmark = pytest.mark.xdist_group("cluster")

PARTITIONS = PARTITIONS_IN_CLUSTER
ROUNDS = 12
CLICKS = 25
KIB = 1 << 10


def open_spool(folder: Path) -> Spool:
    return Spool(folder / "journals", segment_bytes=64 * KIB, budget_bytes=64 << 20)


class Journals:
    """Shippers of one host, each with a journal, until their journals go to five partitions or more."""

    def __init__(self, folder: Path, cluster: ValkeyCluster) -> None:
        self._spool = open_spool(folder)
        self._shippers: list[Shipper] = []
        self.partitions: set[int] = set()
        self.clicks: list[UUID] = []
        self._journals = []
        for _ in range(100):
            journal = self._spool.open_journal()
            self._journals.append(journal)
            self.partitions.add(redis_keys.pick_partition(journal.journal_id, PARTITIONS))
            self._shippers.append(
                Shipper(
                    spool=self._spool,
                    journal=journal,
                    redis_url=cluster.url,
                    interval_s=0.001,
                    window_bytes=1 << 20,
                    partitions=PARTITIONS,
                )
            )
            if len(self.partitions) >= 5:
                break
        self._tasks = [asyncio.create_task(shipper.keep_shipping()) for shipper in self._shippers]

    def click(self) -> None:
        """Write some clicks into every journal."""
        for journal in self._journals:
            for _ in range(CLICKS):
                click = make_click()
                journal.append(encode_event(click))
                self.clicks.append(UUID(bytes=click.id))

    @property
    def is_shipped(self) -> bool:
        """Whether all of it is in Redis."""
        return all(not journal.has_uncut_events and not journal.unshipped for journal in self._journals)

    @property
    def is_landed(self) -> bool:
        """Whether every journal knows that all of it has landed."""
        return all(journal.is_empty for journal in self._journals)

    async def stop(self) -> None:
        await end_tasks(self._tasks)
        for shipper in self._shippers:
            await shipper.drain(0)


async def list_clicks(pool: asyncpg.Pool) -> list[UUID]:
    return [UUID(str(row["id"])) for row in await pool.fetch("SELECT id FROM clicks")]


async def list_flushers(shards: RedisShards, partition: int) -> set[bytes]:
    stream = redis_keys.events(partition)
    async with shards.at(stream) as redis:
        consumers: Any = await redis.xinfo_consumers(stream, redis_keys.FLUSHER_GROUP)
    return {consumer["name"].rpartition(b":")[0] for consumer in consumers}


async def test_two_flushers_share_the_partitions_and_every_click_lands_once(
    tmp_path: Path, cluster: ValkeyCluster, pool: asyncpg.Pool, shards: RedisShards, pipeline: Pipeline
) -> None:
    journals = Journals(tmp_path, cluster)
    pipeline.start_flusher("flusher-1")
    pipeline.start_flusher("flusher-2")
    for _ in range(ROUNDS):
        journals.click()
        await asyncio.sleep(0.01)
    await eventually(lambda: journals.is_landed, timeout_s=30)
    assert sorted(await list_clicks(pool)) == sorted(journals.clicks)
    assert await read_partitions(shards) == journals.partitions | {0}
    holders = {cluster.master_of(redis_keys.events(partition)).port for partition in journals.partitions}
    assert len(holders) >= 2
    for partition in journals.partitions:
        assert await list_flushers(shards, partition) == {b"flusher-1", b"flusher-2"}
    assert await count_waiting(shards) == 0
    await journals.stop()


async def test_the_doctor_adds_the_partitions_up(
    tmp_path: Path, cluster: ValkeyCluster, settings: Settings, shards: RedisShards, pipeline: Pipeline
) -> None:
    journals = Journals(tmp_path, cluster)
    journals.click()
    await eventually(lambda: count_waiting(shards))
    await eventually(lambda: _has_all(shards, journals.partitions))
    environment = {"SWITCHYARD_DATABASE_URL": settings.database_url, "SWITCHYARD_REDIS_URL": cluster.url}
    before = {check.name: check for check in (await doctor.examine(environment)).checks}
    assert before["redis"].ok
    assert "3 masters" in before["redis"].says
    assert settings.redis_url.partition("@")[0].rpartition(":")[2] not in before["redis"].says
    assert not before["links"].ok
    assert not before["stream"].ok
    pipeline.start_flusher()
    pipeline.start_publisher()
    await eventually(lambda: journals.is_landed, timeout_s=30)
    after = {check.name: check for check in (await doctor.examine(environment)).checks}
    assert after["links"].ok
    assert after["stream"].ok, after["stream"].says
    assert f"in {len(journals.partitions | {0})} partitions" in after["stream"].says
    await journals.stop()


async def test_fewer_partitions_than_before_strand_no_chunk(
    tmp_path: Path, cluster: ValkeyCluster, pool: asyncpg.Pool, shards: RedisShards, pipeline: Pipeline
) -> None:
    """What was shipped to many partitions is taken over by a worker that knows of one only."""
    before = Journals(tmp_path, cluster)
    before.click()
    await eventually(lambda: before.is_shipped)
    await eventually(lambda: _has_all(shards, before.partitions))
    await before.stop()
    spool = open_spool(tmp_path)
    successor = Shipper(
        spool=spool,
        journal=spool.open_journal(),
        redis_url=cluster.url,
        interval_s=0.001,
        window_bytes=1 << 20,
        partitions=1,
    )
    tasks = [asyncio.create_task(successor.keep_shipping()), asyncio.create_task(successor.keep_adopting())]
    pipeline.start_flusher()
    await eventually(lambda: spool.read_state().journals == 1, timeout_s=30)  # all but its own are retired
    assert sorted(await list_clicks(pool)) == sorted(before.clicks)
    await eventually(lambda: _is_drained(shards))
    await end_tasks(tasks)
    await successor.drain(0)


async def _is_drained(shards: RedisShards) -> bool:
    return await count_waiting(shards) == 0


async def _has_all(shards: RedisShards, partitions: set[int]) -> bool:
    return partitions <= await read_partitions(shards)


async def make_links(pool: asyncpg.Pool) -> None:
    """Make the links that Visitors follow: their destinations end with the click's id."""
    async with pool.acquire() as db:
        tenant_id, user_id = await insert_user(db)
        variants = (VariantRow("a", "https://example.com/a/{click_id}", 100),)
        for slug in SLUGS:
            await insert_link(
                db,
                LinkRow(
                    tenant_id=tenant_id, user_id=user_id, slug=slug, variants=variants, stickiness="none"
                ),
            )


async def test_a_master_killed_under_load_costs_no_redirect_and_no_click(
    cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
) -> None:
    """The master that takes this edge's chunks, and then the one with the changes of links."""
    await make_links(pool)
    pipeline.start_publisher()
    pipeline.start_flusher()
    await edge.ready()
    for slug in SLUGS:
        await eventually(lambda: edge.get(f"/{slug}", "HEAD")[0] == 302)  # noqa: B023  awaited here
    (journal,) = edge.journals.glob("*/counters")
    partition = redis_keys.pick_partition(journal.parent.name, PARTITIONS)
    visitors = Visitors(f"http://127.0.0.1:{edge.port}")
    async with visitors.following():
        for key in (redis_keys.events(partition), redis_keys.link_changes()):
            await visitors.redirects(100)
            master = await asyncio.to_thread(cluster.master_of, key)
            replica = await asyncio.to_thread(cluster.replica_of, master)
            await asyncio.to_thread(master.kill)
            await visitors.redirects(100)
            await asyncio.to_thread(cluster.await_takeover, replica)
            await visitors.redirects(100)
            await asyncio.to_thread(cluster.await_whole)
    await eventually(lambda: edge.lag_events() == 0, timeout_s=60)
    assert visitors.unsure == 0
    assert not visitors.refusals
    assert sorted(await list_clicks(pool)) == sorted(visitors.clicks)
    assert await pool.fetchval("SELECT sum(clicks) FROM click_totals") == len(visitors.clicks)
