from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest

from control_plane.core.clock import utc_now
from control_plane.domains.limits.service import RequestLimiter
from control_plane.pipeline import publisher
from edge.contract import redis_keys
from edge.contract.domain_record import NOBODY, decode_domain
from tests.builders import LinkRow, VariantRow, insert_link, insert_user, set_domain, update_link
from tests.support import eventually

if TYPE_CHECKING:
    import asyncpg

    from edge.contract.redis_shards import RedisShards
    from tests.cluster.conftest import Pipeline
    from tests.cluster.valkey_cluster import Node, ValkeyCluster
    from tests.edge.processes import EdgeProcesses

pytestmark = pytest.mark.xdist_group("cluster")

DOMAIN = "go.acme.example"
LINKS = 200
"""Enough to have about as many on every master."""


async def make_links(pool: asyncpg.Pool, *slugs: str) -> list[LinkRow]:
    async with pool.acquire() as db:
        tenant_id, user_id = await insert_user(db)
        links = [LinkRow(tenant_id=tenant_id, user_id=user_id, slug=slug) for slug in slugs]
        for link in links:
            await insert_link(db, link)
    return links


async def point_to(pool: asyncpg.Pool, link: LinkRow, url: str) -> None:
    """Give a link another destination."""
    variants = (VariantRow("new", url, 100),)
    async with pool.acquire() as db:
        await update_link(db, msgspec.structs.replace(link, version=2, variants=variants))


def slug_on(cluster: ValkeyCluster, master: Node) -> str:
    """Give a slug that nobody has used and that this master holds."""
    return next(
        slug
        for slug in iter(lambda: uuid4().hex[:12], "")
        if cluster.master_of(redis_keys.link(slug)) is master
    )


class Asked:
    """Asks an edge for a link over and over, and remembers each status."""

    def __init__(self, edge: EdgeProcesses, slug: str, host: str = "edge.example") -> None:
        self._edge = edge
        self._headers = {"Host": host}
        self._path = f"/{slug}"
        self.statuses: set[int] = set()

    async def until(self, status: int, timeout_s: float = 30.0) -> None:
        await eventually(lambda: self._ask(status), timeout_s)

    async def _ask(self, wanted: int) -> bool:
        status, _headers, _body = await asyncio.to_thread(self._edge.get, self._path, "HEAD", self._headers)
        self.statuses.add(status)
        return status == wanted


class TestServing:
    async def test_links_of_every_master_are_served_and_others_are_unknown(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        slugs = [slug_on(cluster, master) for master in cluster.masters()]
        await make_links(pool, *slugs)
        pipeline.start_publisher()
        await edge.ready()
        for slug in slugs:
            await Asked(edge, slug).until(302)
        for master in cluster.masters():
            assert edge.get(f"/{slug_on(cluster, master)}")[0] == 404

    async def test_a_change_reaches_the_edge(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        links = await make_links(pool, *(slug_on(cluster, master) for master in cluster.masters()))
        pipeline.start_publisher()
        await edge.ready()
        for link in links:
            await Asked(edge, link.slug).until(302)
            await point_to(pool, link, f"https://new.example/{link.slug}")
            where = f"https://new.example/{link.slug}"
            await eventually(lambda: edge.get(f"/{link.slug}")[1].get("location") == where)  # noqa: B023  awaited here

    async def test_a_resync_writes_every_link_once(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, shards: RedisShards
    ) -> None:
        slugs = [f"slug-{number}" for number in range(LINKS)]
        await make_links(pool, *slugs)
        assert await publisher.resync(pool, shards) == LINKS
        assert await publisher.is_redis_complete(shards)
        held = [len(master.redis.keys(f"{redis_keys.PREFIX}:link:*")) for master in cluster.masters()]
        assert sum(held) == LINKS
        assert all(LINKS // 5 < count < LINKS // 2 for count in held)


class TestLimits:
    async def test_a_limit_is_exact(self, shards: RedisShards) -> None:
        limiter, now = RequestLimiter(shards), utc_now()
        for subject in ("acme", "globex", "initech", "umbrella"):
            counted = await asyncio.gather(*(limiter.count_request(subject, 30, now) for _ in range(60)))
            assert sum(allowed for allowed, _status in counted) == 30
            assert (await limiter.read_status(subject, 30, now)).remaining == 0


class TestNever404:
    """A link that exists is found or, while that can't be known, 503: whatever a master has lost."""

    async def test_a_replica_that_takes_over_without_the_latest_link(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        pipeline.start_publisher()
        await edge.ready()
        master = cluster.master_of(redis_keys.links_ready(20))
        replica = cluster.replica_of(master)
        slug = slug_on(cluster, master)
        os.kill(replica.server.pid, signal.SIGSTOP)
        try:
            master.ask("CLIENT KILL", "TYPE", "replica")  # it misses what its master now takes
            await make_links(pool, slug)
            await eventually(lambda: master.redis.exists(redis_keys.link(slug)))
        finally:
            master.kill()
            os.kill(replica.server.pid, signal.SIGCONT)
        asked = Asked(edge, slug)
        await asked.until(302)
        assert asked.statuses <= {302, 503}
        assert replica.role() == "master"

    async def test_a_master_that_is_emptied(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, shards: RedisShards
    ) -> None:
        master, other, _third = cluster.masters()
        slug = slug_on(cluster, master)
        await make_links(pool, slug)
        await publisher.resync(pool, shards)
        await edge.ready()
        await eventually(lambda: edge.get(f"/{slug_on(cluster, other)}")[0] == 404)
        master.ask("FLUSHALL")
        assert edge.get(f"/{slug}")[0] == 503
        assert edge.get(f"/{slug_on(cluster, master)}")[0] == 503
        assert edge.get(f"/{slug_on(cluster, other)}")[0] == 404  # nothing was lost there
        await publisher.resync(pool, shards)
        asked = Asked(edge, slug)
        await asked.until(302)
        assert asked.statuses <= {302, 503}

    async def test_a_master_that_restarts_without_its_data(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        master = cluster.masters()[1]
        slug = slug_on(cluster, master)
        await make_links(pool, slug)
        pipeline.start_publisher()
        await edge.ready()
        master.kill()
        master.start()
        asked = Asked(edge, slug)
        await asked.until(302)
        assert asked.statuses <= {302, 503}

    async def test_slots_that_move(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        """Looked at in every state of the move, with a link of its own that the edge has not seen."""
        source, target, _third = cluster.masters()
        group = redis_keys.link_group(slug_on(cluster, source))
        slot = redis_keys.find_slot(redis_keys.links_ready(group))
        slugs = [
            slug
            for slug in (f"slug-{number}" for number in range(400))
            if redis_keys.link_group(slug) == group
        ]
        await make_links(pool, *slugs)
        pipeline.start_publisher()
        await edge.ready()
        unseen = iter(slugs)
        for _state in cluster.move_slot(slot, source, target):
            assert edge.get(f"/{next(unseen)}")[0] in {302, 503}
        asked = Asked(edge, next(unseen))
        await asked.until(302)
        assert asked.statuses <= {302, 503}
        for _state in cluster.move_slot(slot, target, source):
            pass


class TestDomains:
    async def test_links_of_a_domain_are_served_from_every_master(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        pipeline.start_publisher()
        await edge.ready()
        links = await self.add_links(pool, [f"slug-{number}" for number in range(30)])
        assert {cluster.master_of(redis_keys.link(f"{DOMAIN}/{link.slug}")) for link in links} == set(
            cluster.masters()
        )
        for link in links:
            await Asked(edge, link.slug, DOMAIN).until(302)
            assert edge.get(f"/{link.slug}")[0] == 404

    async def test_a_replica_that_takes_over_without_the_latest_change_of_a_domain(
        self, cluster: ValkeyCluster, pool: asyncpg.Pool, edge: EdgeProcesses, pipeline: Pipeline
    ) -> None:
        pipeline.start_publisher()
        await edge.ready()
        (link,) = await self.add_links(pool, [uuid4().hex[:12]])
        await Asked(edge, link.slug, DOMAIN).until(302)
        master = cluster.master_of(redis_keys.domains())
        replica = cluster.replica_of(master)
        os.kill(replica.server.pid, signal.SIGSTOP)
        try:
            master.ask("CLIENT KILL", "TYPE", "replica")  # it misses what its master now takes
            async with pool.acquire() as db:
                await set_domain(db, link.tenant_id, DOMAIN, "lapsed")
            await eventually(lambda: is_nobodys(master))
            await Asked(edge, link.slug, DOMAIN).until(410)
        finally:
            master.kill()
            os.kill(replica.server.pid, signal.SIGCONT)
        asked = Asked(edge, link.slug, DOMAIN)
        for _ in range(2):  # a worker that saw the change, and one that has only what the replica had
            await eventually(lambda: (health := edge.health()) and health.links_ready, timeout_s=30)
            await asked.until(410)
            edge.kill()
            edge.start()
            await eventually(lambda: edge.get("/_/health/live")[0] == 200, timeout_s=20)
        assert asked.statuses <= {410, 503}

    async def add_links(self, pool: asyncpg.Pool, slugs: list[str]) -> list[LinkRow]:
        async with pool.acquire() as db:
            tenant_id, user_id = await insert_user(db)
            await set_domain(db, tenant_id, DOMAIN)
            links = [LinkRow(tenant_id, user_id, slug, domain=DOMAIN) for slug in slugs]
            for link in links:
                await insert_link(db, link)
        return links


def is_nobodys(master: Node) -> bool:
    value = master.redis.hget(redis_keys.domains(), DOMAIN)
    return isinstance(value, bytes) and decode_domain(value).tenant_id == NOBODY
