"""Pages that change their URL by script: one visit for each route, and the campaign stays with them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def all_reported(shop: Shop, page: Page) -> None:
    """Wait until all that the page has had to say so far has come."""
    mark = str(uuid.uuid4())
    await page.evaluate("id => switchyard.track('checkout', {id})", mark)
    await eventually(lambda: mark in [event.external_id for event in shop.conversions()])


async def test_each_route_is_a_visit_however_one_comes_there(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a"))
    await page.evaluate("history.pushState(0, '', '/b?x=1')")
    await page.evaluate("history.replaceState(0, '', '/c')")
    await page.evaluate("history.back()")
    await page.wait_for_url("**/a")
    await page.evaluate("history.forward()")
    await page.wait_for_url("**/c")
    await all_reported(shop, page)
    assert shop.paths() == ["/a", "/b?x=1", "/c", "/a", "/c"]
    assert [visit.referrer.removeprefix(shop.site.url) for visit in shop.visits()] == [
        "",
        "/a",
        "/b?x=1",
        "/c",
        "/a",
    ]


async def test_what_leads_to_no_other_route_is_no_visit(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a?x=1&utm_source=mail&y=2"))
    for script in (
        "history.replaceState({scroll: 9}, '')",
        "history.pushState(0, '', location.href)",
        "history.replaceState(0, '', '#part')",
        "location.hash = '#other'",
        "history.pushState(0, '', '#/part')",
        "history.replaceState(0, '', '/a?x=1&y=2')",  # tidied
        "history.replaceState(0, '', '/a')",
        "history.replaceState(0, '', '/a#part')",
    ):
        await page.evaluate(script)
    await all_reported(shop, page)
    assert shop.paths() == ["/a?x=1&utm_source=mail&y=2"]
    await page.evaluate("history.replaceState(0, '', '/a?x=2')")
    await all_reported(shop, page)
    assert len(shop.visits()) == 2


async def test_routes_in_the_fragment_count_where_the_page_says_so(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag('data-spa="hash"') + '<a href="#/b?token=t1&x=1">B</a><a href="#part">Part</a>'
    await page.goto(shop.url("/?utm_source=mail#/a"))
    await page.click("text=B")
    await page.click("text=Part")
    await page.evaluate("location.hash = '#!c'")
    await page.evaluate("history.back(); history.back()")
    await page.wait_for_url("**/b?token=t1&x=1")
    await all_reported(shop, page)
    campaign = "/?utm_source=mail"
    assert shop.paths()[:4] == [
        f"{campaign}#/a",
        f"{campaign}#/b?token=&x=1",
        campaign,
        f"{campaign}#!c",
    ]
    assert shop.paths()[-1] == f"{campaign}#/b?token=&x=1"


async def test_a_router_that_overrides_history_later_or_kept_the_original_counts_once(
    shop: Shop, page: Page
) -> None:
    kept = "<script>const kept = {push: history.pushState.bind(history)}</script>"
    wraps = """<script>addEventListener("load", () => {
        const push = history.pushState;
        history.pushState = function () { push.apply(this, arguments); dispatchEvent(new Event("routed")) };
    })</script>"""
    shop.site.page = kept + shop.tag() + wraps
    await page.goto(shop.url("/a"))
    await page.evaluate("history.pushState(0, '', '/b')")
    await page.evaluate("kept.push(0, '', '/c')")
    await all_reported(shop, page)
    assert shop.paths() == ["/a", "/b", "/c"]


async def test_routes_do_not_count_where_the_page_says_so(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag('data-spa="off"')
    await page.goto(shop.url("/a"))
    await page.evaluate("history.pushState(0, '', '/b'); history.replaceState(0, '', '/c'); history.back()")
    await page.wait_for_url("**/a")
    await all_reported(shop, page)
    assert shop.paths() == ["/a"]


async def test_the_pages_own_errors_stay_its_own(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a"))
    thrown = (
        "(() => { try { history.pushState(0, '', 'https://other.example/') } catch (e) { return e.name } })()"
    )
    assert await page.evaluate(thrown) == "SecurityError"
    await all_reported(shop, page)
    assert shop.paths() == ["/a"]


async def test_later_routes_keep_the_click_and_the_campaign(shop: Shop, page: Page) -> None:
    said = "utm_source=ads&UTM_Campaign=spring&gclid=g1&fbclid=f1&ttclid=t1"
    valuetrack = "campaignid=7&adgroupid=8&keyword=red%20shoes&network=s&device=m"
    await page.goto(shop.url(f"/a?click_id=c1&{said}&x=1&{valuetrack}"))
    await page.evaluate("history.pushState(0, '', '/b')")
    await page.evaluate("history.pushState(0, '', '/c?y=1&gclid=g2#part')")
    await page.evaluate("history.pushState(0, '', '/d?click_id=c2')")
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await all_reported(shop, page)
    later = f"{said}&{valuetrack}"
    assert shop.paths() == [
        f"/a?click_id=c1&{said}&x=1&{valuetrack}",
        f"/b?{later}",
        f"/c?y=1&gclid=g2&{later.replace('gclid=g1&', '')}",
        f"/d?click_id=c2&{later.replace('g1', 'g2')}",
    ]
    assert [visit.click_id for visit in shop.visits()] == ["c1", "c1", "c1", "c2"]
    sale, *_ = shop.conversions()
    assert (sale.click_id, sale.visit_id) == ("c2", str(uuid.UUID(bytes=shop.visits()[-1].id)))
