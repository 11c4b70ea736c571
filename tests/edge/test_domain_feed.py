"""How a worker learns of custom domains, and what it does until then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from edge.contract.domain_record import NOBODY
from edge.custom_domains import OWN_NAMES
from tests.edge.factories import TENANT, declare_ready, make_link, publish, publish_domain, set_markers
from tests.edge.feeds import A_SECOND, RunningFeed, running_feed
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

ACME = "go.acme.example"


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[RunningFeed]:
    async with running_feed(redis_url) as running:
        yield running


def owner_of(edge: RunningFeed, domain: str = ACME) -> bytes | None:
    """Tell whose links a domain leads to; None for one of the service's own names."""
    site = edge.cache.domains.by_host[domain]
    return None if site is OWN_NAMES else site.tenant_id


class TestBeginning:
    async def test_all_domains_are_known_once_links_are_there(self, edge: RunningFeed, redis: Redis) -> None:
        for number in range(100):
            await publish_domain(redis, f"go{number}.example")
        await declare_ready(redis)
        await edge.ready()
        assert edge.cache.domains.are_known
        assert len(edge.cache.domains) == 100
        assert owner_of(edge, "go7.example") == TENANT

    async def test_without_any_no_host_matters(self, edge: RunningFeed, redis: Redis) -> None:
        await declare_ready(redis)
        await edge.ready()
        assert not edge.cache.domains.matter

    @pytest.mark.parametrize("marker", ["", f"{'0' * 40}:1"])
    async def test_until_the_marker_holds_they_are_not_known(
        self, edge: RunningFeed, redis: Redis, marker: str
    ) -> None:
        await publish_domain(redis, ACME)
        await set_markers(redis, marker)
        for _ in range(2):  # the first may have begun before
            edge.feed.tried.clear()
            await edge.feed.tried.wait()
        assert not edge.cache.domains.are_known

    async def test_the_first_groups_master_vouches_for_them_alone(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        await publish_domain(redis, ACME)
        await declare_ready(redis)
        await redis.delete(redis_keys.links_ready(9))
        await eventually(lambda: edge.cache.domains.are_known)
        assert owner_of(edge) == TENANT
        assert not edge.feed.is_ready

    async def test_a_new_epoch_brings_them_anew(self, edge: RunningFeed, redis: Redis) -> None:
        await publish_domain(redis, ACME, version=9)
        await declare_ready(redis)
        await edge.ready()
        await redis.delete(redis_keys.domains())
        await publish_domain(redis, "other.example")
        await declare_ready(redis, "2")
        await eventually(lambda: edge.feed.beginnings == 2)
        assert owner_of(edge) is None
        assert owner_of(edge, "other.example") == TENANT

    async def test_those_of_a_server_that_lost_its_marker_meanwhile_do_not_count(
        self, edge: RunningFeed, redis: Redis
    ) -> None:
        read = edge.feed._read_domains
        asked = list[bytes | None]()

        async def read_from_another(marker: bytes | None) -> dict[str, bytes]:
            asked.append(marker)
            if len(asked) == 1:
                await declare_ready(redis, "2")
            return await read(marker)

        edge.feed._read_domains = read_from_another  # type: ignore[method-assign]  # this test's own feed
        await declare_ready(redis)
        await edge.ready()
        assert [marker.rpartition(b":")[2] for marker in asked if marker] == [b"1", b"2"]
        assert edge.feed.beginnings == 1

    async def test_while_redis_is_lost_they_stay_as_they_were(self, edge: RunningFeed, redis: Redis) -> None:
        await publish_domain(redis, ACME)
        await declare_ready(redis)
        await edge.ready()
        await redis.flushdb()
        await eventually(lambda: not edge.feed.is_ready)
        assert edge.cache.domains.are_known
        assert owner_of(edge) == TENANT


class TestChanges:
    async def test_they_reach_a_worker_within_a_second(self, edge: RunningFeed, redis: Redis) -> None:
        await declare_ready(redis)
        await edge.ready()
        for version, tenant_id in enumerate((TENANT, NOBODY, bytes([9]) * 16, TENANT)):
            await publish_domain(redis, ACME, tenant_id, version)
            await eventually(lambda: owner_of(edge) == tenant_id, timeout_s=A_SECOND, every_s=0.005)  # noqa: B023  awaited here

    async def test_an_older_version_is_passed_over(self, edge: RunningFeed, redis: Redis) -> None:
        await publish_domain(redis, ACME, version=5)
        await declare_ready(redis)
        await edge.ready()
        await publish_domain(redis, ACME, NOBODY, version=4)
        await edge.has_read_changes(redis)
        assert owner_of(edge) == TENANT

    async def test_links_of_a_domain_are_cached_and_kept_true(self, edge: RunningFeed, redis: Redis) -> None:
        await publish_domain(redis, ACME)
        await publish(redis, make_link(), make_link(domain=ACME, version=3))
        await declare_ready(redis)
        await edge.ready()
        key = f"{ACME}/summer"
        loaded = await asyncio.gather(edge.feed.load("summer"), edge.feed.load(key))
        assert [link and link.record.domain for link in loaded] == ["", ACME]
        assert await edge.feed.load(f"{ACME}/winter") is None
        assert edge.is_unknown(f"{ACME}/winter")
        assert not edge.is_unknown("winter")
        await publish(redis, make_link(domain=ACME, version=4), make_link(domain=ACME, slug="winter"))
        await edge.becomes(key, 4)
        await edge.forgets_unknown(f"{ACME}/winter")
        assert edge.version_of("summer") == 1
