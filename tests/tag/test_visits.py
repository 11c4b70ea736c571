"""What counts as a visit, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_page_is_a_visit(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a?click_id=c1&x=1#part"), referer="https://news.example/story?q=1#part")
    await eventually(shop.visits)
    (visit,) = shop.visits()
    assert visit.landing_url == shop.url("/a?click_id=c1&x=1")
    assert (visit.click_id, visit.client_id) == ("c1", "")
    assert visit.referrer == "https://news.example/story?q=1"
    assert visit.user_agent == await page.evaluate("navigator.userAgent")


async def test_a_script_that_is_included_twice_counts_once(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag() + shop.tag() + shop.tag().replace("async ", "")
    await page.goto(shop.url("/a"))
    await page.evaluate("history.pushState(0, '', '/b')")
    await page.evaluate("switchyard.track('checkout', {id: 'k1'})")
    await eventually(shop.conversions)
    assert shop.paths() == ["/a", "/b"]
    assert len(shop.conversions()) == 1


async def test_a_page_that_comes_back_from_the_cache_is_a_visit_again(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag() + '<a href="/b">B</a>'
    await page.goto(shop.url("/a"))
    await eventually(lambda: len(shop.visits()) == 1)
    await page.click("a")
    await eventually(lambda: len(shop.visits()) == 2)
    await page.evaluate("setTimeout(() => history.back())")
    await eventually(lambda: len(shop.visits()) == 3)
    assert shop.paths() == ["/a", "/b", "/a"]
    assert shop.site.asked.count("/a") == 1
    assert len({visit.id for visit in shop.visits()}) == 3
