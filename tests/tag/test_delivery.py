"""What a page reports arrives: while it is left, and after an edge that was away; and it counts once."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from edge.contract import redis_keys
from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page
    from redis import Redis

    from tests.edge.processes import EdgeProcesses
    from tests.tag.shops import Gateway, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = """(() => {
    const original = window.setTimeout;
    window.waits = [];
    window.setTimeout = (work, ms, ...more) => {
        if (ms >= 500) waits.push(ms);
        return original(work, ms >= 500 ? 20 : ms, ...more);
    };
})()"""
"""Makes long waits short, and says how long they would have been."""


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
    await eventually(shop.visits)
    # 20 times 12 KB: a browser takes 64 KiB of beacons at once. The page is hidden, not gone.
    await page.evaluate(
        """() => {
            const note = "x".repeat(12000);
            for (let i = 0; i < 20; i++) switchyard.track("sale", {id: `s${i}`, amount: 5, note});
            Object.defineProperty(document, "visibilityState", {value: "hidden"});
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    await eventually(lambda: len({sale.external_id for sale in shop.conversions()}) == 20, timeout_s=30)


@pytest.mark.parametrize(
    "fault",
    [(503, {}), (429, {"Retry-After": "later"}), "dropped", "lost"],
    ids=["503", "429", "dropped", "lost"],
)
async def test_what_did_not_arrive_is_sent_again_under_its_id(
    remote_shop: Shop, gateway: Gateway, page: Page, fault: tuple[int, dict[str, str]] | str
) -> None:
    await page.add_init_script(QUICK)
    gateway.faults = [fault, fault]
    await page.goto(remote_shop.url("/a"))
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await eventually(remote_shop.conversions)
    visits = [json.loads(body)["visit_id"] for path, body in gateway.posts if path == "/_/visit"]
    assert (len(visits), len(set(visits))) == (3, 1)
    assert {uuid.UUID(bytes=visit.id) for visit in remote_shop.visits()} == {uuid.UUID(visits[0])}
    assert len(remote_shop.conversions()) == 1
    first, second = await page.evaluate("waits")
    assert 1000 <= first <= 1500
    assert 2000 <= second <= 3000


async def test_a_page_waits_as_long_as_the_edge_asks_it_to(
    remote_shop: Shop, gateway: Gateway, page: Page, stream: Redis
) -> None:
    """The edge's own 503: a Redis that may not have all projects again cannot say that there is none."""
    await page.add_init_script(QUICK)
    markers = {name: stream.get(name) for name in map(redis_keys.links_ready, range(redis_keys.GROUPS))}
    stream.delete(*markers)
    remote_shop.project_id = uuid.uuid4()
    remote_shop.site.page = remote_shop.tag()
    async with page.expect_console_message(lambda said: "cannot be looked up right now" in said.text):
        await page.goto(remote_shop.url("/a"))
    gateway.faults = [(429, {"Retry-After": "40", "Access-Control-Expose-Headers": "retry-after"})]
    await eventually(lambda: not gateway.faults)
    remote_shop.register()
    stream.mset(markers)  # type: ignore[arg-type]  # bytes, as they came
    await eventually(remote_shop.visits)
    waits = await page.evaluate("waits")
    assert 1000 <= waits[0] <= 1500
    assert any(40_000 <= wait <= 60_000 for wait in waits)
    assert len(remote_shop.visits()) == 1


async def test_it_gives_up_in_the_end_and_begins_again_with_the_next(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.add_init_script(QUICK)
    gateway.faults = ["dropped"] * 8
    await page.goto(remote_shop.url("/a"))
    await eventually(lambda: not gateway.faults)
    assert remote_shop.visits() == []
    await page.evaluate("switchyard.track('checkout', {id: 'k1'})")
    await eventually(remote_shop.conversions)
    assert len(remote_shop.visits()) == 1
    assert len([path for path, _ in gateway.posts if path == "/_/visit"]) == 9
    assert max(await page.evaluate("waits")) <= 96_000


async def test_what_is_refused_is_not_sent_again(remote_shop: Shop, gateway: Gateway, page: Page) -> None:
    remote_shop.register(version=2, accepts_tag_sales=False)
    await page.goto(remote_shop.url("/a"))
    await eventually(remote_shop.visits)
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await page.evaluate("history.pushState(0, '', '/b')")
    await eventually(lambda: len(remote_shop.visits()) == 2)
    assert [path for path, _ in gateway.posts] == ["/_/visit", "/_/event", "/_/visit"]


async def test_a_page_that_is_hidden_while_the_edge_is_away_keeps_its_sale(
    remote_shop: Shop, gateway: Gateway, page: Page
) -> None:
    await page.add_init_script(QUICK)
    await page.goto(remote_shop.url("/a"))
    await eventually(remote_shop.visits)
    gateway.faults = ["dropped"] * 5
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    await page.wait_for_function("waits.length > 0")
    await page.evaluate(
        """() => {
            Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
            Object.defineProperty(document, "visibilityState", {value: "visible"});
        }"""
    )
    await eventually(remote_shop.conversions)
    assert {sale.external_id for sale in remote_shop.conversions()} == {"s1"}


async def test_visits_reach_an_edge_that_is_started_again(
    shop: Shop, edge: EdgeProcesses, page: Page
) -> None:
    """Stays last: it takes the worker of this file away."""
    await page.goto(shop.url("/a"))
    await eventually(shop.visits)
    edge.kill()
    await page.evaluate("switchyard.track('sale', {id: 's1', amount: 5})")
    edge.workers.clear()
    edge.start()
    await edge.ready()
    await eventually(shop.conversions, timeout_s=30)
    assert {sale.external_id for sale in shop.conversions()} == {"s1"}
