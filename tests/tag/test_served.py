"""The script as edges serve it, and in what it has to run: strict policies, odd and old browsers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.edge.processes import EdgeProcesses
    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

TAG = Path(__file__).parents[2] / "edge/tag/tag.js"
MOST_BYTES = 3072


async def test_what_browsers_get_is_the_source_in_three_kilobytes(edge: EdgeProcesses) -> None:
    status, headers, body = edge.get("/_/tag.js", headers={"Accept-Encoding": "br, gzip"})
    assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "accept-encoding")
    assert int(headers["content-length"]) == len(body) <= MOST_BYTES
    assert gzip.decompress(body) == TAG.read_bytes()
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    status, plain_headers, plain = edge.get("/_/tag.js")
    assert (status, plain, "content-encoding" in plain_headers) == (200, TAG.read_bytes(), False)
    assert plain_headers["etag"] != headers["etag"]


async def test_a_browser_that_has_it_gets_it_no_second_time(shop: Shop, page: Page) -> None:
    url = f"{shop.edge_url}/_/tag.js"
    await page.goto(shop.url("/a"))
    # Conditional requests of its own: a browser's are hidden from its scripts.
    ask = """async ([url, tag]) => {
        const answer = await fetch(url, {cache: "no-store", headers: tag ? {"If-None-Match": tag} : {}});
        return [answer.status, answer.headers.get("Cache-Control"), (await answer.text()).length];
    }"""
    assert await page.evaluate(ask, [url, ""]) == [200, "public, max-age=3600", TAG.stat().st_size]
    await page.goto(url)
    etag = await page.evaluate("fetch(location.href).then(answer => answer.headers.get('ETag'))")
    assert await page.evaluate(ask, [url, etag]) == [304, "public, max-age=3600", 0]


async def test_it_runs_under_a_strict_policy(shop: Shop, page: Page) -> None:
    edge = shop.edge_url
    shop.site.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {edge} 'self'; connect-src {edge};"
        " require-trusted-types-for 'script'"
    )
    shop.site.pages["/shop.js"] = (
        "text/javascript",
        """window.switchyard = window.switchyard || {q: []};
        switchyard.q.push(["track", "sale", {id: "s1", amount: 5}]);
        addEventListener("securitypolicyviolation", event => console.error(event.blockedURI));
        addEventListener("load", () => document.querySelector("b").click());""",
    )
    shop.site.page = f'<script src="/shop.js"></script>{shop.tag()}<b data-switchyard-click>B</b>'
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto(shop.url("/a"))
    await eventually(lambda: shop.visits() and shop.conversions() and shop.clicks())
    shop.site.pages["/next"] = ("text/html", "Next")
    await page.evaluate(
        "() => { for (let i = 0; i < 3; i++) document.querySelector('b').click(); location.href = '/next' }"
    )
    await eventually(lambda: len(shop.clicks()) == 4)
    assert [words for words in said if "favicon" not in words] == []


BROKEN = {
    "no sendBeacon": "delete Navigator.prototype.sendBeacon",
    "a sendBeacon that refuses": "Navigator.prototype.sendBeacon = () => false",
    "no timeouts": "delete AbortSignal.timeout",
    "no navigation": "Object.defineProperty(window, 'navigation', {value: undefined})",
    "no storage": """for (const name of ["localStorage", "sessionStorage"])
        Object.defineProperty(window, name, {get() { throw new DOMException("no", "SecurityError") }})""",
    "full storage": """Object.defineProperty(window, "localStorage",
        {value: new Proxy({}, {set() { throw new DOMException("full", "QuotaExceededError") }})})""",
    "foreign storage": "localStorage.switchyard = 'not JSON'",
    "half of what was stored": "localStorage.switchyard = JSON.stringify({clientId: 'x', at: Date.now()})",
    "frozen history": "Object.freeze(history)",
}


@pytest.mark.parametrize("environment", BROKEN)
async def test_it_works_in_odd_browsers(shop: Shop, page: Page, environment: str) -> None:
    await page.add_init_script(f"(() => {{ {BROKEN[environment]} }})()")
    shop.site.pages["/next"] = ("text/html", "Next")
    shop.site.page = shop.tag() + "<b data-switchyard-click>B</b>"
    await page.goto(shop.url("/a"))
    await eventually(shop.visits)
    await page.evaluate("switchyard.consent(true); history.pushState(0, '', '/b')")
    await page.evaluate(
        """() => {
            for (let i = 0; i < 3; i++) document.querySelector("b").click();
            switchyard.consent(false);
            location.href = "/next";
        }"""
    )
    await eventually(lambda: len({click.id for click in shop.clicks()}) == 3)
    await eventually(lambda: set(shop.paths()) == {"/a", "/b"})


async def test_it_needs_no_secure_context(shop: Shop, page: Page) -> None:
    shop.edge_url = shop.edge_url.replace("127.0.0.1", "edge.example")
    shop.site.page = shop.tag()
    await page.goto(shop.url("/a").replace("localhost", "shop.example"))
    assert await page.evaluate("isSecureContext || 'randomUUID' in crypto") is False
    await page.evaluate("switchyard.track('sale', {amount: 5})")
    await eventually(lambda: shop.visits() and shop.conversions())


async def test_a_frame_that_may_store_nothing_is_a_page_too(shop: Shop, page: Page) -> None:
    shop.site.pages["/outer"] = ("text/html", '<iframe sandbox="allow-scripts" src="/inner"></iframe>')
    await page.goto(shop.url("/outer"))
    await eventually(shop.visits)
    assert shop.paths() == ["/inner"]
