"""Nothing is stored before somebody agrees, nothing is sent either where that is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.tag.shops import Gateway, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

STUB = "<script>window.switchyard = window.switchyard || {q: []}</script>"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
STORED = """async () => ({
    cookies: document.cookie, local: {...localStorage}, session: {...sessionStorage},
    databases: await indexedDB.databases(), caches: await caches.keys(), name: window.name,
})"""
NOTHING: dict[str, Any] = {
    "cookies": "",
    "local": {},
    "session": {},
    "databases": [],
    "caches": [],
    "name": "",
}


async def stored(page: Page) -> dict[str, Any]:
    """Give what this browser has kept of the page and of the edge."""
    found = dict(await page.evaluate(STORED))
    found["cookies"] += json.dumps(cookies) if (cookies := await page.context.cookies()) else ""
    return found


async def sale_arrives(shop: Shop, page: Page, name: str) -> None:
    """Track a sale, and wait for it: what was said before it has come as well."""
    await page.evaluate("id => switchyard.track('sale', {id, amount: 5})", name)
    await eventually(lambda: name in [sale.external_id for sale in shop.conversions()])


async def test_by_default_nothing_is_stored_or_named(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag() + "<b data-switchyard-click>B</b>"
    await page.goto(shop.url("/a?click_id=c1&gclid=g1"))
    await page.click("b")
    await page.evaluate("history.pushState(0, '', '/b')")
    await sale_arrives(shop, page, "s1")
    await page.goto(shop.url("/c"))
    await sale_arrives(shop, page, "s2")
    assert await stored(page) == NOTHING
    assert [(visit.client_id, visit.click_id) for visit in shop.visits()] == [("", "c1")] * 2 + [("", "")]


async def test_secrets_stay_in_the_browser(shop: Shop, page: Page) -> None:
    secrets = "email=a%40b.example&E-Mail=x&pass=x&access_token=x&session_id=x&api_key=x&phone=x&auth=x"
    await page.goto(shop.url(f"/a?{secrets}&author=me&x=1#access_token=x"))
    await eventually(shop.visits)
    query = shop.paths()[0].removeprefix("/a?")
    assert query == "email=&E-Mail=&pass=&access_token=&session_id=&api_key=&phone=&auth=&author=me&x=1"


async def test_with_consent_a_browser_is_known_again(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a?click_id=c1&utm_source=mail"))
    await page.evaluate("switchyard.consent(true); history.pushState(0, '', '/b')")
    await eventually(lambda: len(shop.visits()) == 2)
    await page.goto(shop.url("/c"))
    await eventually(lambda: len(shop.visits()) == 3)
    names = {visit.client_id for visit in shop.visits()[1:]}
    assert len(names) == 1
    assert "" not in names
    assert {visit.click_id for visit in shop.visits()} == {"c1"}
    assert shop.paths()[-1] == "/c?utm_source=mail"


async def test_what_was_not_sent_is_kept_over_pages_only_with_consent(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.goto(remote_shop.url("/a"))
    await eventually(remote_shop.visits)
    gateway.faults = [(503, {})] * 100
    await page.evaluate("switchyard.track('sale', {id: 'unkept', amount: 5})")
    await eventually(lambda: len(gateway.faults) < 100)
    await page.goto(remote_shop.url("/b"))
    assert await stored(page) == NOTHING
    await page.evaluate("switchyard.consent(true); switchyard.track('sale', {id: 'kept', amount: 5})")
    await page.evaluate("localStorage.other = 1")
    gateway.posts.clear()
    await page.goto(remote_shop.url("/c"))
    gateway.faults.clear()
    await eventually(remote_shop.conversions)
    assert {sale.external_id for sale in remote_shop.conversions()} == {"kept"}


async def test_who_withdraws_is_forgotten_in_every_tab(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.goto(remote_shop.url("/a?click_id=c1"))
    await page.evaluate("switchyard.consent(true); localStorage.other = 1")
    other = await page.context.new_page()
    await other.goto(remote_shop.url("/b"))
    await eventually(lambda: len(remote_shop.visits()) == 2)
    gateway.faults = [(503, {})]
    await page.evaluate("history.pushState(0, '', '/c')")
    await eventually(lambda: not gateway.faults)
    assert "switchyard" in (await stored(page))["local"]
    await page.evaluate("switchyard.consent(false)")
    assert await stored(page) == {**NOTHING, "local": {"other": "1"}}
    await other.evaluate("history.pushState(0, '', '/d')")
    await eventually(lambda: len(remote_shop.visits()) == 4)
    assert {visit.landing_url[-2:]: bool(visit.client_id) for visit in remote_shop.visits()} == {
        "c1": False,
        "/b": True,
        "/c": False,
        "/d": False,
    }
    assert await stored(other) == {**NOTHING, "local": {"other": "1"}}


async def test_where_consent_is_required_nothing_leaves_before_it(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    remote_shop.site.page = remote_shop.tag('data-consent="required"') + "<b data-switchyard-click>B</b>"
    await page.goto(remote_shop.url("/a?click_id=c1&gclid=g1"))
    await page.click("b")
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await page.evaluate("history.pushState(0, '', '/b')")
    # Hidden pages hand over what they have: not this one.
    await page.evaluate("dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('pageshow'))")
    assert await stored(page) == NOTHING
    assert gateway.posts == []
    await page.evaluate("switchyard.consent(true)")
    await eventually(lambda: len(gateway.posts) == 4)
    await eventually(
        lambda: len(remote_shop.visits()) == 2 and remote_shop.clicks() and remote_shop.conversions()
    )
    assert remote_shop.paths() == ["/a?click_id=c1&gclid=g1", "/b?gclid=g1"]
    assert all(visit.click_id == "c1" and visit.client_id for visit in remote_shop.visits())
    # It is remembered: the next page asks no more.
    await page.goto(remote_shop.url("/c"))
    await eventually(lambda: len(remote_shop.visits()) == 3)


async def test_where_consent_is_refused_nothing_leaves_at_all(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    remote_shop.site.page = remote_shop.tag('data-consent="required"')
    await page.goto(remote_shop.url("/a"))
    await page.evaluate("switchyard.consent(false); switchyard.track('sale', {id: 's1', amount: 5})")
    await page.evaluate("history.pushState(0, '', '/b')")
    await page.evaluate("switchyard.consent(true); history.pushState(0, '', '/c')")
    await sale_arrives(remote_shop, page, "s2")
    assert remote_shop.paths() == ["/c"]
    assert [path for path, _ in gateway.posts] == ["/_/visit", "/_/event"]


async def test_a_privacy_signal_wins_over_consent(shop: Shop, page: Page) -> None:
    await page.add_init_script(GPC)
    shop.site.page = f"""{STUB}<script>switchyard.q.push(["consent", true])</script>{shop.tag()}"""
    await page.goto(shop.url("/a"))
    await sale_arrives(shop, page, "s1")
    await page.evaluate("switchyard.consent(true); history.pushState(0, '', '/b')")
    await sale_arrives(shop, page, "s2")
    assert await stored(page) == NOTHING
    assert [visit.client_id for visit in shop.visits()] == ["", ""]


async def test_a_privacy_signal_that_comes_later_deletes_what_was_kept(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a?click_id=c1"))
    await page.evaluate("switchyard.consent(true)")
    assert (await stored(page))["local"]
    await page.add_init_script(GPC)
    await page.goto(shop.url("/b"))
    await sale_arrives(shop, page, "s1")
    assert await stored(page) == NOTHING
    assert (shop.visits()[-1].client_id, shop.visits()[-1].click_id) == ("", "")
