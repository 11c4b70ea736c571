"""What a page reports arrives: while it is left, and after an edge that was away; and it counts once."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.edge.processes import EdgeProcesses
    from tests.tag.shops import Gateway, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEAVE = "setTimeout(() => location.href = '/next')"
RECORD_TIMERS = """(() => {
    const original = window.setTimeout;
    window.timers = [];
    window.setTimeout = (work, ms, ...more) => { timers.push(ms || 0); return original(work, ms, ...more) };
    window.hurry = () => { window.setTimeout = work => original(work, 0) };
})()"""


async def test_clicks_and_sales_of_a_page_that_is_left_arrive(shop: Shop, page: Page) -> None:
    shop.site.pages["/next"] = ("text/html", "Next")
    shop.site.page = shop.tag() + "<b data-switchyard-click>Go</b>"
    await page.goto(shop.url("/a"))
    # All in one task: only the first can be on its way when the page is left.
    await page.evaluate(
        """() => {
            for (let i = 0; i < 3; i++) document.querySelector("b").click();
            switchyard.track("sale", {id: "s1", amount: 5});
            location.href = "/next";
        }"""
    )
    await page.wait_for_url("**/next")
    await eventually(lambda: len(shop.clicks()) == 3 and shop.conversions() and shop.visits())
    assert len({click.id for click in shop.clicks()}) == 3


async def test_more_than_a_beacon_may_hold_goes_by_itself(shop: Shop, page: Page) -> None:
    shop.site.page = shop.tag()
    await page.goto(shop.url("/a"))
    await eventually(lambda: shop.visits())
    # 20 times 12 KB: a browser takes 64 KiB of beacons at once. The page is hidden, not gone.
    await page.evaluate(
        """() => {
            for (let i = 0; i < 20; i++) switchyard.track("sale", {id: `s${i}`, amount: 5, note: "x".repeat(12000)});
            Object.defineProperty(document, "visibilityState", {value: "hidden"});
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await eventually(lambda: len({sale.external_id for sale in shop.conversions()}) == 20, timeout_s=30)


@pytest.mark.parametrize(
    "fault",
    [(500, {}), (503, {}), (429, {}), (502, {"Retry-After": "later"}), "dropped", "lost"],
    ids=["500", "503", "429", "strange Retry-After", "dropped", "lost"],
)
async def test_what_did_not_arrive_is_sent_again_under_its_id(
    remote_shop: Shop, gateway: Gateway, page: Page, fault: tuple[int, dict[str, str]] | str
) -> None:
    await page.add_init_script(RECORD_TIMERS)
    gateway.faults = [fault, fault]
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: len(gateway.posts) == 1)
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await eventually(lambda: remote_shop.conversions(), timeout_s=20)
    visits = [json.loads(body)["visit_id"] for path, body in gateway.posts if path == "/_/visit"]
    assert (len(visits), len(set(visits))) == (3, 1)
    assert {uuid.UUID(bytes=visit.id) for visit in remote_shop.visits()} == {uuid.UUID(visits[0])}
    assert len(remote_shop.conversions()) == 1
    first, second = [ms for ms in await page.evaluate("timers") if ms >= 500][:2]
    assert 1000 <= first <= 1500
    assert 2000 <= second <= 3000


async def test_a_page_waits_as_long_as_it_is_asked_to(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.add_init_script(RECORD_TIMERS)
    readable = {"Retry-After": "40", "Access-Control-Expose-Headers": "retry-after"}
    gateway.faults = [(429, readable)]
    await page.goto(remote_shop.url("/a"))
    await page.wait_for_function("timers.some(ms => ms >= 40000 && ms <= 60000)")


async def test_an_edge_that_knows_nothing_yet_is_asked_again_when_it_says(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    """The edge's own 503, whose Retry-After pages of another origin may read."""
    remote_shop.site.page = remote_shop.tag() + "<script>window.edge = document.scripts[0].src</script>"
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: remote_shop.visits())
    gateway.faults = [(503, {"Retry-After": "1", "Access-Control-Expose-Headers": "retry-after"})]
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await eventually(lambda: remote_shop.conversions())


async def test_it_gives_up_in_the_end_and_begins_again_with_the_next(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.add_init_script(RECORD_TIMERS + ";hurry()")
    gateway.faults = ["dropped"] * 8
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: not gateway.faults)
    assert remote_shop.visits() == []
    await page.evaluate("switchyard.track('checkout', {id: 'k1'})")
    await eventually(lambda: remote_shop.conversions())
    assert len(remote_shop.visits()) == 1
    assert len([path for path, _ in gateway.posts if path == "/_/visit"]) == 9


async def test_what_is_refused_is_not_sent_again(remote_shop: Shop, gateway: Gateway, page: Page) -> None:
    remote_shop.register(version=2, accepts_tag_sales=False)
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: remote_shop.visits())
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await page.evaluate("history.pushState(0, '', '/b')")
    await eventually(lambda: len(remote_shop.visits()) == 2)
    assert [path for path, _ in gateway.posts] == ["/_/visit", "/_/event", "/_/visit"]


async def test_a_page_that_is_hidden_while_the_edge_is_away_keeps_its_sale(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.add_init_script(RECORD_TIMERS)
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: remote_shop.visits())
    gateway.faults = ["dropped"] * 2
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await page.wait_for_function("timers.some(ms => ms >= 1000)")
    await page.evaluate(
        """() => {
            Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
            Object.defineProperty(document, "visibilityState", {value: "visible"});
        }"""
    )
    await eventually(lambda: remote_shop.conversions())
    assert {sale.external_id for sale in remote_shop.conversions()} == {"s1"}


async def test_visits_reach_an_edge_that_is_started_again(
    shop: Shop, edge: EdgeProcesses, page: Page
) -> None:
    """Stays last: it takes the worker of this file away."""
    await page.goto(shop.url("/a"))
    await eventually(lambda: shop.visits())
    edge.kill()
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    edge.workers.clear()
    edge.start()
    await edge.ready()
    await eventually(lambda: shop.conversions(), timeout_s=30)
    assert {sale.external_id for sale in shop.conversions()} == {"s1"}
