"""The page tag in a real browser: what it sends over real sockets, and that it stores nothing unasked."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import async_playwright

from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

TAG = (Path(__file__).parents[2] / "edge/tag/tag.js").read_bytes()
BROWSER = os.environ.get("SWITCHYARD_TEST_BROWSER") or shutil.which("chromium")
in_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium: set SWITCHYARD_TEST_BROWSER")


class Site(ThreadingHTTPServer):
    """Serves pages, the tag, and its intake, whose first answers are `statuses`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.html = ""
        self.statuses: list[int] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        script = self.path == "/_/tag.js"
        self._answer(
            200, TAG if script else self.server.html.encode(), "text/javascript" if script else "text/html"
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 202
        items = body if isinstance(body, list) else [body]
        self.server.seen += [(f"{self.path[3:]} {status}", item) for item in items]
        self._answer(status, b"{}", "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    server = Site()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield await browser.new_page()
        await browser.close()


async def visit(page: Page, site: Site, query: str = "", body: str = "") -> None:
    edge = f"http://127.0.0.1:{site.server_port}"
    site.html = f'{body}<script async src="{edge}/_/tag.js" data-project="p"></script>'
    await page.goto(f"http://localhost:{site.server_port}/a{query}")
    await eventually(lambda: site.seen)


def test_size() -> None:
    assert len(gzip.compress(TAG, 9)) <= 3072


@in_browser
async def test_a_visit_is_reported_and_nothing_stored(page: Page, site: Site) -> None:
    await visit(page, site, "?click_id=c1&email=a@b.c#f")
    kind, sent = site.seen[0]
    assert kind == "visit 202"
    assert sent["click_id"] == "c1"
    assert sent["url"].endswith("/a?click_id=c1&email=")
    stored = "localStorage.length + sessionStorage.length + document.cookie.length"
    assert await page.evaluate(stored) == 0


@in_browser
async def test_navigations_by_script_are_visits(page: Page, site: Site) -> None:
    await visit(page, site)
    await page.evaluate("history.pushState(1, '', '/b'); history.replaceState(1, '', '/b#x')")
    await eventually(lambda: len(site.seen) == 2)
    assert site.seen[1][1]["url"].endswith("/b")


@in_browser
async def test_a_sale_is_sent_again_with_its_id_after_503(page: Page, site: Site) -> None:
    await visit(page, site)
    site.statuses = [503]
    assert await page.evaluate("switchyard.track('sale', {id: 's1', amount: 19.9})") == "s1"
    await eventually(lambda: len(site.seen) == 3)
    assert [kind for kind, _ in site.seen] == ["visit 202", "event 503", "event 202"]
    assert site.seen[1][1] == site.seen[2][1]
    assert site.seen[2][1]["amount"] == "19.9"


@in_browser
async def test_cyclic_fields_do_not_throw(page: Page, site: Site) -> None:
    await visit(page, site)
    assert (
        await page.evaluate("(() => { const x = {}; x.x = x; return switchyard.track('sale', x) })()") is None
    )


@in_browser
async def test_a_link_that_leads_away_is_reported(page: Page, site: Site) -> None:
    away = f"http://127.0.0.1:{site.server_port}/away"
    await visit(page, site, body=f'<a href="{away}">Go</a>')
    await page.click("a")
    await eventually(lambda: any(kind.startswith("click") for kind, _ in site.seen))
    click = next(sent for kind, sent in site.seen if kind.startswith("click"))
    assert (click["target_url"], click["element_text"]) == (away, "Go")


@in_browser
async def test_consent_gives_an_id_and_takes_it_back(page: Page, site: Site) -> None:
    await visit(page, site)
    await page.evaluate("switchyard.consent(true); history.pushState(1, '', '/b')")
    await eventually(lambda: len(site.seen) == 2)
    assert site.seen[1][1]["client_id"]
    await page.evaluate("switchyard.consent(false)")
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
