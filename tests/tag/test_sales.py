"""What pages say of checkouts, sales and upsells, before and after the tag is there."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from edge.contract.events import ConversionKind
from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

STUB = "<script>window.switchyard = window.switchyard || {q: []}</script>"


async def test_what_was_said_before_the_tag_came_is_sent_in_order(shop: Shop, page: Page) -> None:
    shop.site.page = f"""{STUB}<script>
        switchyard.q.push(["track", "checkout", {{id: "k1"}}]);
        switchyard.q.push(["track", "sale", {{id: "s1", amount: "19.90", currency: "EUR",
                                        checkout_id: "k1"}}]);
        switchyard.q.push(["track", "upsell", {{id: "u1", sale_id: "s1", amount: 5, product_id: "p1"}}]);
        </script>{shop.tag()}"""
    await page.goto(shop.url("/thanks?click_id=c1"))
    await eventually(lambda: len(shop.conversions()) == 3)
    checkout, sale, upsell = shop.conversions()
    assert [checkout.kind, sale.kind, upsell.kind] == [
        ConversionKind.CHECKOUT,
        ConversionKind.SALE,
        ConversionKind.UPSELL,
    ]
    assert (sale.external_id, sale.amount_minor, sale.currency) == ("s1", 1990, "EUR")
    assert (sale.checkout_id, sale.source) == ("k1", "tag")
    assert (upsell.parent_sale_id, upsell.amount_minor, upsell.product_id) == ("s1", 500, "p1")
    await eventually(shop.visits)
    visit_id = str(uuid.UUID(bytes=shop.visits()[0].id))
    assert {(event.click_id, event.visit_id) for event in shop.conversions()} == {("c1", visit_id)}


async def test_the_snippet_may_come_after_the_tag_and_goes_on_as_before(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a"))
    await page.evaluate("window.switchyard = window.switchyard || {q: []}")
    await page.evaluate("switchyard.q.push(['track', 'sale', {id: 's1', amount: 19.9}])")
    await eventually(shop.conversions)
    assert shop.conversions()[0].amount_minor == 1990


async def test_a_sale_has_one_name_and_the_page_is_told_it(shop: Shop, page: Page) -> None:
    await page.goto(shop.url("/a"))
    told = [
        str(await page.evaluate(f"switchyard.track('sale', {{{name} amount: '5'}})"))
        for name in ("id: 's1',", "sale_id: 's2',", "id: 7,", "")
    ]
    assert told[:3] == ["s1", "s2", "7"]
    assert uuid.UUID(told[3]).version == 7
    await eventually(lambda: len(shop.conversions()) == 4)
    assert [sale.external_id for sale in shop.conversions()] == told


BAD_CALLS = {
    "switchyard.track('purchase', {id: 'x'})": "event must be checkout, sale or upsell",
    "switchyard.track()": "event must be checkout, sale or upsell",
    "switchyard.track('sale')": "amount is required",
    "switchyard.track('sale', null)": "amount is required",
    "switchyard.track('sale', 'x')": "amount is required",
    "switchyard.track('sale', {amount: NaN})": "amount is required",
    "switchyard.track('sale', {amount: 0.1 + 0.2})": "amount ",
    "switchyard.track('sale', {amount: 5, currency: 'EURO'})": "currency ",
    "switchyard.track('sale', {id: {}, amount: 5})": "id must be text",
    "switchyard.track('sale', {amount: 5n})": "BigInt",
    "const x = {}; x.x = x; switchyard.track('sale', x)": "circular",
    "switchyard.track('sale', {amount: 5, note: 'x'.repeat(20000)})": "too long",
    "switchyard.q.push('nothing')": "is not a function",
    "switchyard.q.push(['nothing'])": "is not a function",
    "switchyard.q.push()": "not iterable",
}


async def is_warned(words: str, warnings: list[str]) -> None:
    await eventually(lambda: any(words in warning for warning in warnings))


async def test_bad_calls_warn_and_throw_nothing(page: Page, shop: Shop) -> None:
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    await page.goto(shop.url("/a"))
    await eventually(shop.visits)
    for call, words in BAD_CALLS.items():
        warnings.clear()
        await page.evaluate(f"(() => {{ {call} }})()")
        await is_warned(words, warnings)
    await page.evaluate("switchyard.track('checkout', {id: 'k1'})")
    await eventually(shop.conversions)
    assert [event.external_id for event in shop.conversions()] == ["k1"]
