"""Drafts for the blog: who may hand them in, how many, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.ids import new_id
from control_plane.domains.blog.slugs import derive_slug, find_free
from tests.dialects.tracking.conftest import make_holder

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member
    from tests.dialects.tracking.conftest import KeyHolder

DRAFT = {
    "title": "Ação já: what works",
    "excerpt": "In short.",
    "content": "<script>alert(1)</script> " + "x" * 500,
    "category_slug": "growth-hacks",
}


@pytest.fixture
async def writer(app: Any, pool: asyncpg.Pool, clock: SetClock, superadmin: Member) -> KeyHolder:
    """A key of an approved tenant that may write and read the blog."""
    holder = await make_holder(app, pool, clock(), scopes=("blog:write", "blog:read"))
    approved = await superadmin.api.put(f"/v1/blog/approvals/{holder.tenant_id}")
    assert approved.status_code == 204
    return holder


class TestCreateArticle:
    async def test_strangers_are_not_let_in(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/v1/blog/articles", json=DRAFT)).status_code == 401

    async def test_needs_the_scope(self, holder: KeyHolder) -> None:
        response = await holder.api.post("/v1/blog/articles", json=DRAFT)
        assert response.json()["error"]["details"]["reason"] == "scope_required"

    async def test_needs_the_approval(self, app: Any, pool: asyncpg.Pool, clock: SetClock) -> None:
        holder = await make_holder(app, pool, clock(), scopes=("blog:write", "blog:approve"))
        response = await holder.api.post("/v1/blog/articles", json=DRAFT)
        assert response.status_code == 403
        assert response.json()["error"]["details"]["reason"] == "blog_not_approved"
        assert await pool.fetchval("SELECT count(*) FROM blog_articles") == 0

    async def test_it_is_a_draft_kept_as_it_is(
        self, pool: asyncpg.Pool, writer: KeyHolder, clock: SetClock
    ) -> None:
        response = await writer.api.post("/v1/blog/articles", json=DRAFT)
        assert response.status_code == 201, response.text
        article = response.json()["data"]
        assert article == {
            "id": article["id"],
            "title": "Ação já: what works",
            "slug": "acao-ja-what-works",
            "status": "draft",
            "is_user_generated": True,
            "author": "Acme",
            "category": "growth-hacks",
            "created_at": "2026-05-04T10:20:30Z",
        }
        assert await pool.fetchval("SELECT content FROM blog_articles") == DRAFT["content"]
        assert response.headers["X-Blog-Write-Limit"] == "10"
        assert response.headers["X-Blog-Write-Remaining"] == "9"
        midnight = clock().replace(hour=0, minute=0, second=0).timestamp() + 86_400
        assert response.headers["X-Blog-Write-Reset"] == str(int(midnight))
        listed = (await writer.api.get("/v1/blog/articles")).json()
        assert (listed["data"], listed["pagination"]["total"]) == ([article], 1)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("title", ""),
            ("title", " "),
            ("title", "x" * 171),
            ("title", None),
            ("excerpt", "x" * 321),
            ("content", "x" * 499),
            ("content", "x" * 200_001),
            ("content", " " * 600),
            ("category_slug", "No Slug"),
        ],
    )
    async def test_faults(self, writer: KeyHolder, field: str, value: str | None) -> None:
        response = await writer.api.post("/v1/blog/articles", json=DRAFT | {field: value})
        assert response.status_code == 400
        (fault,) = response.json()["error"]["details"]["errors"]
        assert fault["field"] == field
        assert response.headers["X-Blog-Write-Remaining"] == "10"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [(b"", 400, "validation_error"), (b"{", 400, "validation_error"), (b"[]", 400, "validation_error")],
    )
    async def test_bodies_that_are_none(self, writer: KeyHolder, body: bytes, status: int, code: str) -> None:
        headers = {"Content-Type": "application/json"}
        response = await writer.api.post("/v1/blog/articles", content=body, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)

    async def test_other_types_and_methods(self, writer: KeyHolder) -> None:
        response = await writer.api.post("/v1/blog/articles", data={"title": "x"})
        assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")
        response = await writer.api.patch("/v1/blog/articles", json={})
        assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")

    async def test_no_more_than_a_days_drafts_even_at_once(
        self, pool: asyncpg.Pool, writer: KeyHolder, clock: SetClock
    ) -> None:
        answers = await asyncio.gather(*(writer.api.post("/v1/blog/articles", json=DRAFT) for _ in range(13)))
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [429] * 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["X-Blog-Write-Remaining"] == "0"
        assert int(refused.headers["Retry-After"]) == 13 * 3600 + 39 * 60 + 30
        slugs = {row["slug"] for row in await pool.fetch("SELECT slug FROM blog_articles")}
        assert slugs == {"acao-ja-what-works"} | {f"acao-ja-what-works-{n}" for n in range(2, 11)}
        clock.advance(days=1)
        assert (await writer.api.post("/v1/blog/articles", json=DRAFT)).status_code == 201


class TestListArticles:
    async def test_only_the_tenants_own(
        self, app: Any, pool: asyncpg.Pool, clock: SetClock, writer: KeyHolder, anonymous: httpx.AsyncClient
    ) -> None:
        await writer.api.post("/v1/blog/articles", json=DRAFT)
        other = await make_holder(app, pool, clock(), scopes=("blog:read",))
        assert (await other.api.get("/v1/blog/articles")).json()["data"] == []
        assert (await anonymous.get("/v1/blog/articles")).status_code == 401

    async def test_pages(self, writer: KeyHolder) -> None:
        for _ in range(3):
            await writer.api.post("/v1/blog/articles", json=DRAFT)
        first = (await writer.api.get("/v1/blog/articles", params={"per_page": 2})).json()
        place = {"per_page": 2, "cursor": first["pagination"]["next_cursor"]}
        second = (await writer.api.get("/v1/blog/articles", params=place)).json()
        assert len({one["id"] for one in first["data"] + second["data"]}) == 3
        place["cursor"] = second["pagination"]["prev_cursor"]
        assert (await writer.api.get("/v1/blog/articles", params=place)).json()["data"] == first["data"]


class TestApprovals:
    async def test_for_superadmins_only(
        self, anonymous: httpx.AsyncClient, member: Member, writer: KeyHolder
    ) -> None:
        path = f"/v1/blog/approvals/{member.tenant_id}"
        for api, status in ((anonymous, 401), (writer.api, 401), (member.api, 403)):
            for method in ("PUT", "DELETE"):
                assert (await api.request(method, path)).status_code == status

    async def test_taken_back(self, pool: asyncpg.Pool, superadmin: Member, writer: KeyHolder) -> None:
        path = f"/v1/blog/approvals/{writer.tenant_id}"
        for _ in range(2):
            assert (await superadmin.api.delete(path)).status_code == 204
        assert (await writer.api.post("/v1/blog/articles", json=DRAFT)).status_code == 403
        actions = await pool.fetch("SELECT action FROM audit_log WHERE action LIKE 'blog.%'")
        assert [row["action"] for row in actions] == ["blog.approve", "blog.disapprove", "blog.disapprove"]

    async def test_of_no_tenant(self, superadmin: Member) -> None:
        for name in (new_id(), "x"):
            response = await superadmin.api.put(f"/v1/blog/approvals/{name}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Hello, World!", "hello-world"),
        ("Ação já! Øl & Straße", "acao-ja-ol-strasse"),
        ("ÆTHER Łódź", "aether-lodz"),
        ("Привет", "article"),
        ("--", "article"),
        ("x" * 170, "x" * 80),
    ],
)
def test_slugs(title: str, slug: str) -> None:
    assert derive_slug(title) == slug
    assert find_free(slug, {slug, f"{slug}-2"}) == f"{slug}-3"
