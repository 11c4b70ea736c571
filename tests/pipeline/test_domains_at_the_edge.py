"""Custom domains all the way: rows in Postgres, a publisher, Redis, and an edge that is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import pytest

from edge.contract.domain_record import NOBODY, decode_domain
from edge.snapshot import decode_block, read_snapshot
from tests.builders import LinkRow, VariantRow, insert_link, insert_user, remove_domain, set_domain
from tests.edge.processes import EdgeProcesses
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from uuid import UUID

    from control_plane.db.pool import Pool
    from tests.conftest import TestServer

    RunPublisher: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]

ACME, GLOBEX, OWN = "go.acme.example", "globex.example", "edge.example"
A_SECOND = 1.0


class Sites:
    """Two tenants with a domain each, and an edge. `where` asks it for the slug `shoes`."""

    def __init__(self, pool: Pool, edge: EdgeProcesses) -> None:
        self.pool = pool
        self.edge = edge
        self.snapshot = edge.journals.with_name(f"{edge.journals.name}.links")
        self.acme: tuple[UUID, UUID]
        self.globex: tuple[UUID, UUID]

    async def set_up(self) -> None:
        async with self.pool.acquire() as db:
            self.acme, self.globex = await insert_user(db), await insert_user(db)
            await set_domain(db, self.acme[0], ACME)
            await set_domain(db, self.globex[0], GLOBEX)
        await self.add_link(self.acme, "", "own")
        await self.add_link(self.acme, ACME, "acme")
        await self.add_link(self.globex, GLOBEX, "globex")

    async def add_link(self, user: tuple[UUID, UUID], domain: str, name: str, slug: str = "shoes") -> None:
        variants = (VariantRow("a", f"https://{name}.example/", 100),)
        async with self.pool.acquire() as db:
            await insert_link(db, LinkRow(*user, slug=slug, domain=domain, variants=variants))

    async def change(self, user: tuple[UUID, UUID], domain: str, status: str) -> None:
        async with self.pool.acquire() as db:
            await set_domain(db, user[0], domain, status)

    def where(self, host: str, slug: str = "shoes") -> str | int:
        status, headers, _body = self.edge.get(f"/{slug}", headers={"Host": host})
        return headers["location"] if status == 302 else status

    async def becomes(
        self, host: str, where: str | int, slug: str = "shoes", timeout_s: float = 10.0
    ) -> None:
        async def is_so() -> bool:
            return await asyncio.to_thread(self.where, host, slug) == where

        await eventually(is_so, timeout_s=timeout_s, every_s=0.01)


@pytest.fixture(params=["wire", "rsgi"])
async def sites(
    request: pytest.FixtureRequest, pool: Pool, redis_url: str, tmp_path: Path, run_publisher: RunPublisher
) -> AsyncIterator[Sites]:
    edge = EdgeProcesses(tmp_path, redis_url, server=request.param, snapshot_s=0.1)
    sites = Sites(pool, edge)
    async with run_publisher():
        await sites.set_up()
        edge.start()
        await edge.ready()
        await sites.becomes(OWN, "https://own.example/")
        yield sites
    edge.kill()


def read_owner(snapshot: Path, domain: str) -> bytes | None:
    """Tell who has a domain by a snapshot; None when it is not in it."""
    block = read_snapshot(snapshot).domains if snapshot.exists() else None
    value = decode_block(block).get(domain) if block else None
    return decode_domain(value).tenant_id if value else None


class TestSites:
    async def test_one_slug_leads_elsewhere_on_every_domain(self, sites: Sites) -> None:
        await sites.becomes(ACME, "https://acme.example/")
        await sites.becomes(GLOBEX, "https://globex.example/")
        assert sites.where("GO.ACME.EXAMPLE.:8080") == "https://acme.example/"
        assert sites.where("127.0.0.1") == "https://own.example/"
        assert sites.where("nobody.example") == "https://own.example/"
        assert sites.where(OWN, f"{ACME}/shoes") == 404

    async def test_a_domain_lapses_and_returns_within_a_second(self, sites: Sites) -> None:
        await sites.becomes(ACME, "https://acme.example/")
        await sites.change(sites.acme, ACME, "lapsed")
        await sites.becomes(ACME, 410, timeout_s=A_SECOND)
        assert sites.where(ACME, "other") == 404
        assert sites.where(OWN) == "https://own.example/"
        assert sites.where(GLOBEX) == "https://globex.example/"
        await sites.change(sites.acme, ACME, "verified")
        await sites.becomes(ACME, "https://acme.example/", timeout_s=A_SECOND)

    async def test_a_domain_that_was_removed_does_not_lead_to_the_services_links(self, sites: Sites) -> None:
        async with sites.pool.acquire() as db:
            await remove_domain(db, sites.acme[0], ACME)
        await sites.becomes(ACME, 410, timeout_s=A_SECOND)

    async def test_whoever_takes_a_domain_over_gets_none_of_its_links(self, sites: Sites) -> None:
        await sites.becomes(ACME, "https://acme.example/")
        await sites.change(sites.acme, ACME, "lapsed")
        await sites.change(sites.globex, ACME, "verified")
        await sites.add_link(sites.globex, ACME, "new", slug="boots")
        await sites.becomes(ACME, "https://new.example/", slug="boots")
        assert sites.where(ACME) == 410
        await sites.change(sites.globex, ACME, "lapsed")
        await sites.change(sites.acme, ACME, "verified")
        await sites.becomes(ACME, "https://acme.example/")
        assert sites.where(ACME, "boots") == 410

    async def test_a_new_domain_counts_within_a_second_also_where_its_slug_was_unknown(
        self, sites: Sites
    ) -> None:
        assert sites.where("new.example", "boots") == 404
        await sites.add_link(sites.acme, "new.example", "new", slug="boots")
        await sites.change(sites.acme, "new.example", "verified")
        await sites.becomes("new.example", "https://new.example/", slug="boots", timeout_s=A_SECOND)
        assert sites.where("new.example") == 404


class TestWithoutRedis:
    async def test_a_restarted_edge_knows_the_domains_of_its_snapshot(
        self, sites: Sites, valkey_server: TestServer
    ) -> None:
        await sites.becomes(ACME, "https://acme.example/")
        await sites.becomes(GLOBEX, "https://globex.example/")
        await sites.change(sites.globex, GLOBEX, "lapsed")
        await sites.becomes(GLOBEX, 410)
        await eventually(lambda: read_owner(sites.snapshot, GLOBEX) == NOBODY)
        valkey_server.kill()
        sites.edge.kill()
        sites.edge.start()
        await sites.edge.ready()
        assert sites.where(ACME) == "https://acme.example/"
        assert sites.where(GLOBEX) == 410
        assert sites.where(OWN) == "https://own.example/"
        assert sites.where(ACME, "boots") == 503
        valkey_server.start()

    async def test_one_without_a_snapshot_answers_no_link(
        self, sites: Sites, valkey_server: TestServer
    ) -> None:
        valkey_server.kill()
        sites.edge.kill()
        sites.snapshot.unlink(missing_ok=True)
        sites.edge.start()
        await eventually(lambda: sites.edge.get("/_/health/live")[0] == 200, timeout_s=20)
        assert sites.where(ACME) == sites.where(OWN) == 503
        health = sites.edge.health()
        assert health is not None
        assert not health.ready
        assert any("domains are not known" in problem for problem in health.problems)
        valkey_server.start()
        await sites.becomes(ACME, "https://acme.example/", timeout_s=30)
