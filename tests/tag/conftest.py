"""An edge worker for the tests of each file, one browser for all of them, a shop for each test."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from tests.edge.factories import declare_ready
from tests.edge.processes import EdgeProcesses
from tests.tag.bare_browser import BareBrowser
from tests.tag.shops import Gateway, Shop, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Browser, BrowserContext, Page

    from tests.conftest import TestServer

BROWSER = os.environ.get("SWITCHYARD_TEST_BROWSER") or shutil.which("chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    if BROWSER is None:
        no_browser = pytest.mark.skip(reason="no chromium: set SWITCHYARD_TEST_BROWSER")
        for item in items:
            if {"browser", "bare_browser"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(no_browser)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stream(valkey_server: TestServer, redis_database: str) -> AsyncIterator[BlockingRedis]:
    """A Redis whose links are all there: none."""
    valkey_server.start()
    async with Redis.from_url(redis_database) as client:
        await client.flushdb()
        await declare_ready(client)
    with contextlib.closing(BlockingRedis.from_url(redis_database)) as blocking:
        yield blocking


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(
    tmp_path_factory: pytest.TempPathFactory, redis_database: str, stream: BlockingRedis
) -> AsyncIterator[EdgeProcesses]:
    del stream
    processes = EdgeProcesses(tmp_path_factory.mktemp("edge"), redis_database, server="wire")
    processes.start()
    try:
        await processes.ready()
        yield processes
        assert "Traceback" not in processes.log()
    finally:
        processes.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    context.set_default_timeout(10_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab; at the end the pages that it showed have thrown nothing."""
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield await context.new_page()
    assert errors == []


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.start()
    yield site
    site.stop()


@pytest.fixture
def gateway(edge: EdgeProcesses) -> Iterator[Gateway]:
    gateway = Gateway(edge.port)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def shop(site: Site, edge: EdgeProcesses, stream: BlockingRedis) -> Shop:
    """A shop that reports to the edge itself."""
    shop = Shop(site, stream, f"http://127.0.0.1:{edge.port}")
    shop.register()
    return shop


@pytest.fixture
def remote_shop(site: Site, gateway: Gateway, stream: BlockingRedis) -> Shop:
    """A shop that reports through the gateway."""
    shop = Shop(site, stream, gateway.url)
    shop.register()
    return shop


@pytest.fixture(scope="module")
def bare_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareBrowser]:
    assert BROWSER is not None
    with BareBrowser(BROWSER, tmp_path_factory.mktemp("profile")) as browser:
        yield browser
