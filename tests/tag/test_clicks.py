"""Clicks that are reported: on links that lead away, and on what is marked, however it is clicked."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.tag.shops import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")

STAY = "<script>addEventListener('click', event => event.preventDefault())</script>"
"""Links lead nowhere in a page with this."""


async def check_texts(shop: Shop, page: Page, expected: list[str]) -> None:
    """Check the texts of the elements whose clicks were reported, once all of them have come."""
    mark = str(uuid.uuid4())
    await page.evaluate("id => switchyard.track('checkout', {id})", mark)
    await eventually(lambda: mark in [event.external_id for event in shop.conversions()])
    await eventually(lambda: len(shop.clicks()) >= len(expected))
    assert [click.element_text for click in shop.clicks()] == expected


@pytest.fixture
def away(shop: Shop) -> str:
    """Another host, where a link may lead."""
    shop.site.pages["/away"] = ("text/html", "Away")
    return f"http://127.0.0.1:{shop.site.server_port}/away"


async def test_a_click_says_what_was_clicked_and_where(shop: Shop, page: Page, away: str) -> None:
    secrets = away.replace("//", "//user:secret@") + "?token=t1&x=1#part"
    shop.site.page = STAY + shop.tag() + f'<a href="{secrets}">\n <b>Go</b> there </a>'
    await page.goto(shop.url("/a?click_id=c1&utm_source=mail&password=p1#part"))
    await page.click("a")
    await eventually(lambda: shop.clicks() and shop.visits())
    (click,), (visit,) = shop.clicks(), shop.visits()
    assert (click.element_type, click.element_text) == ("a", "Go there")
    assert click.target_url == f"{away}?token=&x=1"
    assert click.page_url == shop.url("/a?click_id=c1&utm_source=mail&password=")
    assert (click.click_id, click.visit_id) == ("c1", str(uuid.UUID(bytes=visit.id)))


@pytest.mark.parametrize("how", ["click", "enter", "middle", "control", "right", "prevented"])
async def test_each_way_to_follow_a_link_counts_once(shop: Shop, page: Page, away: str, how: str) -> None:
    shop.site.page = shop.tag() + f'<p>Text</p><a href="{away}">Go</a>'
    await page.goto(shop.url("/a"))
    await eventually(shop.visits)
    if how == "click":
        await page.click("a")
        await page.wait_for_url(away)
    elif how == "enter":
        await page.focus("a")
        await page.keyboard.press("Enter")
        await page.wait_for_url(away)
    elif how == "prevented":
        await page.evaluate("void (document.onclick = e => { e.preventDefault(); e.stopPropagation() })")
        await page.click("a")
    elif how == "right":
        await page.click("a", button="right")
        await page.click("p", button="middle")
    else:
        async with page.context.expect_page():
            if how == "middle":
                await page.click("a", button="middle")
            else:
                await page.click("a", modifiers=["Control"])
    if how == "right":
        await check_texts(shop, page, [])
    else:
        await eventually(shop.clicks)
        assert [click.target_url for click in shop.clicks()] == [away]


async def test_what_lies_inside_of_links_and_shadows_is_found(shop: Shop, page: Page, away: str) -> None:
    shadow = "attachShadow({mode: 'MODE'}).innerHTML"
    link = f'<a href="{away}"><i><b>NAME</b></i></a>'
    shop.site.page = f"""{STAY}{shop.tag()}
        <a id="nested" href="{away}"><span><b>nested</b></span></a>
        <svg width="50" height="50"><rect data-switchyard-click="shape" width="50" height="50"/></svg>
        <div id="open"></div><div id="closed" data-switchyard-click="sealed">closed</div>
        <a id="around" href="{away}">around<span id="inner"></span></a>
        <map name="m"><area id="area" href="{away}" coords="0,0,40,40"></map>
        <img usemap="#m" width="40" height="40" src="data:,">
        <script>
          document.querySelector("#open").{shadow.replace("MODE", "open")} = `{link.replace("NAME", "open")}`;
          document.querySelector("#closed").{shadow.replace("MODE", "closed")} = "<b>x</b>";
          document.querySelector("#inner").{shadow.replace("MODE", "open")} = "<b>y</b>";
        </script>"""
    await page.goto(shop.url("/a"))
    for selector in ("#nested b", "rect", "#open b", "#closed", "#inner b", "img"):
        await page.click(selector, force=True)
    await check_texts(shop, page, ["nested", "", "open", "closed", "around", ""])
    types = [click.element_type for click in shop.clicks()]
    assert types == ["a", "shape", "a", "sealed", "a", "area"]


async def test_marked_elements_count_whatever_they_are(shop: Shop, page: Page, away: str) -> None:
    shop.site.page = f"""{STAY}{shop.tag()}
        <button data-switchyard-click="signup">Sign <b>up</b></button>
        <div data-switchyard-click>{"é" * 300}</div>
        <a href="/terms" data-switchyard-click="terms">Terms</a>
        <section data-switchyard-click="outer"><a href="{away}">Out</a></section>
        <button>Not marked</button>"""
    await page.goto(shop.url("/a"))
    for selector in ("b", "div", "text=Terms", "text=Out", "text=Not marked"):
        await page.click(selector)
    await check_texts(shop, page, ["Sign up", "é" * 255, "Terms", "Out"])
    assert [(click.element_type, click.target_url) for click in shop.clicks()] == [
        ("signup", ""),
        ("div", ""),
        ("terms", shop.url("/terms")),
        ("outer", away),
    ]


async def test_other_links_count_only_where_they_are_marked(shop: Shop, page: Page) -> None:
    links = {"Mail": "mailto:sales@shop.example", "Call": "tel:+15550100", "Script": "javascript:void 0"}
    rows = [f'<a href="{href}">{text}</a><br>' for text, href in links.items()]
    shop.site.page = f"""{STAY}{shop.tag()} {"".join(rows)} <a href="/b">Here</a>
        <a href="mailto:help@shop.example" data-switchyard-click="help">Help</a><a>Nowhere</a>"""
    await page.goto(shop.url("/a"))
    for text in (*links, "Here", "Nowhere", "Help"):
        await page.click(f"text={text}")
    await check_texts(shop, page, ["Help"])
    assert shop.clicks()[0].target_url == ""


async def test_parts_can_be_left_out(shop: Shop, page: Page, away: str) -> None:
    shop.site.page = f"""{STAY}{shop.tag('data-auto="marked"')} <a href="{away}">Out</a>
        <b data-switchyard-click>Marked</b>"""
    await page.goto(shop.url("/a"))
    await page.click("a")
    await page.click("b")
    await check_texts(shop, page, ["Marked"])
    assert shop.visits() == []
    assert shop.clicks()[0].visit_id == ""


@pytest.mark.parametrize("button", ["left", "middle"])
async def test_links_that_are_named_carry_the_click_on(shop: Shop, page: Page, button: str) -> None:
    shop.site.page = f"""{shop.tag('data-forward="a.shop"')}
        <a class="shop" target="_blank" href="/b?x=1#part">B</a>
        <a class="shop" target="_blank" href="/c?click_id=own">C</a><a target="_blank" href="/d">D</a>"""
    reached = []
    for text in "BCD":
        await page.goto(shop.url("/a?click_id=c%261"))
        async with page.context.expect_page() as opened:
            await page.click(f"text={text}", button=button)  # type: ignore[arg-type]  # a literal of it
        tab = await opened.value
        await tab.wait_for_url(lambda url: url != "about:blank")
        reached.append(tab.url.removeprefix(shop.site.url))
        await tab.close()
    assert reached == ["/b?x=1&click_id=c%261#part", "/c?click_id=own", "/d"]
