"""From a page to the rows: what a page sent more than once has landed once."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from control_plane.db.pool import open_pool
from control_plane.pipeline import flusher
from control_plane.settings import Settings
from edge.contract import redis_keys
from edge.contract.events import Conversion, PageClick, Visit
from tests.edge.factories import TENANT
from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page
    from redis import Redis

    from tests.tag.shops import Gateway, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_comes_twice_is_one_row(  # noqa: PLR0913  a pipeline's parts
    *,
    remote_shop: Shop,
    gateway: Gateway,
    page: Page,
    stream: Redis,
    database_url: str,
    redis_database: str,
) -> None:
    remote_shop.site.page = remote_shop.tag() + "<b data-switchyard-click>B</b>"
    # The edge takes each in, and its answer is lost.
    gateway.faults = ["lost"]
    await page.goto(remote_shop.url("/a?click_id=c1&utm_campaign=spring"))
    await eventually(lambda: len(remote_shop.arrivals(Visit)) == 2)
    gateway.faults = ["lost"]
    await page.click("b")
    await eventually(lambda: len(remote_shop.arrivals(PageClick)) == 2)
    gateway.faults = ["lost"]
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: '19.90'})")
    await eventually(lambda: len(remote_shop.arrivals(Conversion)) == 2)
    pool = await open_pool(database_url, size=4)
    await pool.execute(
        "INSERT INTO tenants (id, name, plan_code, created_at) VALUES ($1, 'a', 'free', now())",
        uuid.UUID(bytes=TENANT),
    )
    await pool.execute(
        "INSERT INTO projects (tenant_id, id, name, created_at, updated_at)"
        " VALUES ($1, $2, 'a', now(), now())",
        uuid.UUID(bytes=TENANT),
        remote_shop.project_id,
    )
    stop = asyncio.Event()
    settings = Settings(database_url=database_url, redis_url=redis_database, jwt_secret="s" * 32)
    running = asyncio.create_task(flusher.run(settings, stop))
    await eventually(lambda: stream.xlen(redis_keys.events(0)) == 0, timeout_s=30)
    stop.set()
    await running
    assert await pool.fetchval("SELECT count(*) FROM visits") == 1
    assert await pool.fetchval("SELECT count(*) FROM clicks") == 1
    sale = await pool.fetchrow("SELECT * FROM conversions")
    visit = await pool.fetchrow("SELECT * FROM visits")
    assert sale is not None
    assert visit is not None
    assert await pool.fetchval("SELECT count(*) FROM conversions") == 1
    assert (sale["external_id"], sale["amount_minor"], sale["visit_id"]) == ("s1", 1990, str(visit["id"]))
    assert (visit["click_id"], visit["campaign"], visit["utm_campaign"]) == ("c1", "spring", "spring")
    await pool.close()
