"""A visit is a page that somebody sees: not one in a tab behind, nor one that was only rendered ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from tests.tag.bare_browser import BareBrowser
    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

AHEAD = (
    '<script type="speculationrules">{"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}</script>'
)


async def test_a_tab_behind_is_a_visit_once_it_is_seen(shop: Shop, bare_browser: BareBrowser) -> None:
    front = bare_browser.open(shop.url("/front"))
    behind = bare_browser.open(shop.url("/behind?utm_source=mail"), behind=True)
    await eventually(lambda: bare_browser.run(behind, "!!window.switchyard?.track"))
    assert bare_browser.run(behind, "document.visibilityState") == "hidden"
    # What a script reports there is not held back, and shows that the visit has been: it comes after it.
    bare_browser.run(behind, "switchyard.track('checkout', {id: 'k1'})")
    await eventually(shop.conversions)
    assert shop.paths() == ["/front"]
    bare_browser.show(behind)
    await eventually(lambda: len(shop.visits()) == 2)
    bare_browser.show(front)
    bare_browser.show(behind)
    bare_browser.run(behind, "switchyard.track('checkout', {id: 'k2'})")
    await eventually(lambda: len(shop.conversions()) == 2)
    assert shop.paths() == ["/front", "/behind?utm_source=mail"]


async def test_a_page_that_is_rendered_ahead_reports_nothing_until_it_is_shown(
    shop: Shop, bare_browser: BareBrowser
) -> None:
    shop.site.page = shop.tag() + AHEAD
    thanks = "<script>switchyard.q.push(['track', 'sale', {id: 's1', amount: '5'}])</script>"
    seen = "<script>fetch(`/${document.prerendering ? 'ahead' : 'shown'}`)</script>"
    stub = "<script>window.switchyard = window.switchyard || {q: []}</script>"
    shop.site.pages["/next"] = ("text/html", stub + shop.tag().replace("async ", "") + thanks + seen)
    tab = bare_browser.open(shop.url("/first"))
    await eventually(lambda: "/ahead" in shop.site.asked)
    bare_browser.run(tab, "switchyard.track('checkout', {id: 'k1'})")
    await eventually(shop.conversions)
    assert (shop.paths(), [sale.external_id for sale in shop.conversions()]) == (["/first"], ["k1"])
    bare_browser.run(tab, "location.href = '/next'")
    await eventually(lambda: len(shop.conversions()) == 2)
    await eventually(lambda: len(shop.visits()) == 2)
    assert shop.paths() == ["/first", "/next"]
    assert shop.site.asked.count("/next") == 1
