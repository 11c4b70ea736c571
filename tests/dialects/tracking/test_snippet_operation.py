"""What is pasted into pages: that it works there as it is answered."""

from __future__ import annotations

import json
import uuid
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.async_api import async_playwright

from control_plane.domains.projects.snippets import MACROS, SECRET_PLACE, build_snippet
from edge.contract.events import Conversion, Visit
from edge.contract.key_format import hash_secret
from edge.intake.tag import TAG_FILE
from tests.builders import set_domain
from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_project, make_id
from tests.edge.directories import make_project
from tests.edge.intake.intakes import RunningIntake
from tests.tag.conftest import BROWSER
from tests.tag.shops import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import asyncpg
    import httpx
    from playwright.async_api import Page

    from control_plane.settings import Settings
    from edge.request import EdgeResponse
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.tracking.conftest import KeyHolder


@pytest.fixture
async def project_id(pool: asyncpg.Pool, holder: KeyHolder) -> uuid.UUID:
    return await add_project(pool, holder.tenant_id, name='"><script>alert(1)</script>')


async def get(holder: KeyHolder, project_id: uuid.UUID, **params: str) -> dict[str, str]:
    """Get a project's snippet."""
    response = await holder.api.get(f"/v1/projects/{project_id}/snippet", params=params)
    assert response.status_code == 200, response.text
    data: dict[str, str] = response.json()["data"]
    return data


class Elements(HTMLParser):
    """The elements of a piece of HTML, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def ask(running: RunningIntake, url: str, *headers: tuple[str, str]) -> EdgeResponse:
    """Get a URL of the edge."""
    parts = urlsplit(url)
    return running.ask(parts.path, b"", *headers, method="GET", query=parts.query)


class TestWhoMay:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get(f"/v1/projects/{make_id(1)}/snippet")).status_code == 401

    async def test_a_key_needs_the_scope(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        powerless = await make_holder(app, pool, clock(), scopes=("projects:write",))
        response = await powerless.api.get(f"/v1/projects/{make_id(1)}/snippet")
        assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")

    async def test_another_tenants_is_not_found(
        self, foreign_holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        for missing in (project_id, make_id(7), "x"):
            response = await foreign_holder.api.get(f"/v1/projects/{missing}/snippet")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


class TestTexts:
    async def test_name_the_project_and_the_edge(self, holder: KeyHolder, project_id: uuid.UUID) -> None:
        data = await get(holder, project_id)
        assert data["edge_url"] == "http://go.example.com"
        (queue, script), (image,) = Elements(data["tag"]).found, Elements(data["pixel"]).found
        assert queue == ("script", {})
        assert script == (
            "script",
            {"async": None, "src": "http://go.example.com/_/tag.js", "data-project": str(project_id)},
        )
        assert image[1]["src"] == f"http://go.example.com/_/pixel.gif?project={project_id}"
        assert "alert" not in str(data)

    async def test_the_edge_understands_what_it_is_sent_then(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, tmp_path: Path
    ) -> None:
        writer = await make_holder(app, pool, clock(), scopes=("projects:write", "projects:read"))
        made = (await writer.api.post("/v1/projects", json={"name": "Shop"})).json()["data"]
        data = await get(writer, made["id"])
        assert made["secret"] not in str(data)
        running, project = RunningIntake(tmp_path), uuid.UUID(made["id"]).bytes
        running.memory.projects[project] = make_project(
            project_id=project, secret_hash=hash_secret(made["secret"])
        )
        values = dict(zip(MACROS, ("c-1", "t-1", "sale", "19.90", "4.50", "EUR", "approved"), strict=True))
        url = data["postback_url"].replace(SECRET_PLACE, made["secret"])
        for name, value in values.items():
            url = url.replace(f"{{{name}}}", value)
        assert ask(running, url).status == 200
        pixel = Elements(data["pixel"]).found[0][1]["src"]
        assert ask(running, str(pixel), ("referer", "https://shop.example/a")).status == 200
        sale, visit = running.events()
        assert isinstance(sale, Conversion)
        assert (sale.project_id, sale.external_id, sale.click_id) == (project, "t-1", "c-1")
        assert (sale.amount_minor, sale.commission_minor, sale.currency) == (1990, 450, "EUR")
        assert isinstance(visit, Visit)
        assert (visit.project_id, visit.landing_url) == (project, "https://shop.example/a")

    def test_an_address_cannot_break_out(self) -> None:
        snippet = build_snippet(make_id(1), 'http://x/"><script>alert(1)</script>&amp;')
        for html, tags in ((snippet.tag, ["script", "script"]), (snippet.pixel, ["img"])):
            elements = Elements(html).found
            assert [tag for tag, _attributes in elements] == tags
            where = elements[-1][1]["src"]
            assert where is not None
            assert where.startswith('http://x/"><script>alert(1)</script>&amp;/_/')


class TestDomain:
    async def test_the_first_that_was_verified_is_the_default(
        self, pool: asyncpg.Pool, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, holder.tenant_id, "go.shop.example")
            await set_domain(db, holder.tenant_id, "later.example", "pending")
        assert (await get(holder, project_id))["edge_url"] == "https://go.shop.example"
        assert (await get(holder, project_id, domain=""))["edge_url"] == "http://go.example.com"
        assert (await get(holder, project_id, domain="GO.shop.example"))["edge_url"] == (
            "https://go.shop.example"
        )

    async def test_one_that_is_not_theirs_is_refused(
        self,
        pool: asyncpg.Pool,
        holder: KeyHolder,
        foreign_holder: KeyHolder,
        project_id: uuid.UUID,
    ) -> None:
        async with pool.acquire() as db:
            await set_domain(db, foreign_holder.tenant_id, "go.globex.example")
        for wrong in ("go.globex.example", "later.example", '"><script>', "x" * 300):
            response = await holder.api.get(f"/v1/projects/{project_id}/snippet", params={"domain": wrong})
            (fault,) = response.json()["error"]["details"]["errors"]
            assert (response.status_code, fault["field"]) == (400, "domain")


@pytest.mark.skipif(BROWSER is None, reason="no chromium: set SWITCHYARD_TEST_BROWSER")
class TestInAPage:
    """The shop is at localhost, the edge at 127.0.0.1; both are the same server, which takes no reports."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        site = Site()
        site.pages["/_/tag.js"] = ("text/javascript", TAG_FILE.read_text())
        site.start()
        yield site
        site.stop()

    @pytest.fixture
    def settings(self, settings: Settings, site: Site) -> Settings:
        return msgspec.structs.replace(settings, edge_url=f"http://127.0.0.1:{site.server_port}")

    @pytest.fixture
    async def page(self) -> AsyncIterator[Page]:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            yield await browser.new_page()
            await browser.close()

    async def test_the_tag_reports_a_visit_under_the_policy(
        self, page: Page, site: Site, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        data = await get(holder, project_id)
        site.headers["Content-Security-Policy"] = f"default-src 'none'; {data['content_security_policy']}"
        site.page = data["tag"]
        async with page.expect_request("**/_/visit") as asked:
            await page.goto(f"{site.url}/a")
        request = await asked.value
        assert request.url == f"{data['edge_url']}/_/visit"
        visit = json.loads(request.post_data or "")
        assert (visit["project"], visit["url"]) == (str(project_id), f"{site.url}/a")
        assert await page.evaluate("switchyard.track('sale', {id: 's-1', amount: '19.90'})") == "s-1"

    async def test_the_pixel_names_the_page(
        self, page: Page, site: Site, holder: KeyHolder, project_id: uuid.UUID
    ) -> None:
        data = await get(holder, project_id)
        site.headers["Content-Security-Policy"] = f"default-src 'none'; {data['content_security_policy']}"
        site.page = data["pixel"]
        where = f"{site.url}/a?utm_campaign=spring"
        async with page.expect_response("**/_/pixel.gif?*") as answered:
            await page.goto(where)
        request = (await answered.value).request
        assert (await request.all_headers())["referer"] == where
        assert request.url.endswith(f"?project={project_id}")
