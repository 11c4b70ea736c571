"""The operations on links, one class each; every class begins with who may not."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.links.conftest import count_rows, create, link_body

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import Caller, SetClock

MISSING_KEY = {"detail": "Missing API key. Include X-API-Key header."}
NOT_FOUND = {"detail": "Link not found"}


def variant(label: str, weight: int, url: str = "https://example.com/") -> dict[str, Any]:
    return {"label": label, "weight": weight, "destination_url": url}


class TestEveryLinkOperation:
    """What holds for each route of links, whichever it is."""

    ROUTES = (
        ("POST", "/links"),
        ("GET", "/links"),
        ("GET", "/links/{id}"),
        ("PATCH", "/links/{id}"),
        ("DELETE", "/links/{id}"),
        ("GET", "/links/{id}/clicks"),
    )

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_anonymous_is_refused(self, anonymous: httpx.AsyncClient, method: str, path: str) -> None:
        response = await anonymous.request(method, path.format(id=uuid.uuid4()), content=b"not json")
        assert response.status_code == 401
        assert response.json() == MISSING_KEY
        assert response.headers["WWW-Authenticate"].startswith("ApiKey")

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_plan_without_api_is_refused(self, free_caller: Caller, method: str, path: str) -> None:
        response = await free_caller.api.request(method, path.format(id=uuid.uuid4()), content=b"{")
        assert response.status_code == 403
        assert response.json() == {
            "detail": "Your plan (free) does not include API access. Upgrade to Growth or Scale."
        }

    @pytest.mark.parametrize(("method", "path"), ROUTES[2:])
    async def test_other_tenants_link_is_not_found(
        self, caller: Caller, stranger: Caller, method: str, path: str
    ) -> None:
        link = await create(caller)
        response = await stranger.api.request(method, path.format(id=link["id"]), json={})
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
        assert (await caller.api.get(f"/links/{link['id']}")).status_code == 200

    @pytest.mark.parametrize(("method", "path"), ROUTES[2:])
    @pytest.mark.parametrize("link_id", ["nonsense", "123", "0198c0de-0000-7000-8000-000000000000"])
    async def test_unknown_or_malformed_id_is_not_found(
        self, caller: Caller, method: str, path: str, link_id: str
    ) -> None:
        response = await caller.api.request(method, path.format(id=link_id), json={})
        assert (response.status_code, response.json()) == (404, NOT_FOUND)

    @pytest.mark.parametrize(("method", "path"), ROUTES[2:])
    async def test_deleted_link_is_not_found(self, caller: Caller, method: str, path: str) -> None:
        link = await create(caller)
        assert (await caller.api.delete(f"/links/{link['id']}")).status_code == 204
        response = await caller.api.request(method, path.format(id=link["id"]), json={})
        assert (response.status_code, response.json()) == (404, NOT_FOUND)

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_limit_headers_stand_on_errors_too(self, caller: Caller, method: str, path: str) -> None:
        response = await caller.api.request(method, path.format(id="nonsense"), content=b"{")
        assert response.headers["X-RateLimit-Limit"] == "1000"
        assert response.headers["X-RateLimit-Remaining"] == "999"
        assert response.headers["X-RateLimit-Reset"] == "1777892400"


class TestCreate:
    async def test_answers_with_the_link(self, caller: Caller) -> None:
        link = await create(caller, slug="Summer_sale-26")
        assert link["slug"] == "Summer_sale-26"
        assert link["user_id"] == str(caller.account.user_id)
        assert link["created_at"] == link["updated_at"] == "2026-05-04T10:20:30Z"
        assert [(one["label"], one["weight"]) for one in link["variants"]] == [
            ("control", 50),
            ("variant_b", 50),
        ]
        assert {one["link_id"] for one in link["variants"]} == {link["id"]}
        defaults = {
            "is_active": True,
            "auto_winner": False,
            "auto_winner_threshold": 100,
            "routing_type": "ab_test",
            "geo_rules": None,
            "organization_id": None,
            "stickiness": "cookie",
            "forward_query": True,
        }
        assert {name: link[name] for name in defaults} == defaults

    async def test_queues_the_publication(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller)
        (row,) = await pool.fetch("SELECT tenant_id, link_id FROM link_outbox")
        assert (row["tenant_id"], str(row["link_id"])) == (caller.account.tenant_id, link["id"])

    async def test_draws_a_slug_without_look_alikes(self, caller: Caller) -> None:
        slugs = {(await create(caller))["slug"] for _ in range(5)}
        assert len(slugs) == 5
        assert all(len(slug) == 7 and not set(slug) & set("0OIl1") for slug in slugs)

    async def test_null_counts_as_absent(self, caller: Caller) -> None:
        optional = ("slug", "auto_winner", "auto_winner_threshold", "routing_type", "geo_rules")
        link = await create(caller, **dict.fromkeys((*optional, "stickiness", "forward_query")))
        assert (link["auto_winner_threshold"], link["routing_type"]) == (100, "ab_test")
        assert (link["stickiness"], link["forward_query"]) == ("cookie", True)

    async def test_taken_slug_conflicts(self, caller: Caller, stranger: Caller) -> None:
        await create(caller, slug="homepage-test")
        response = await stranger.api.post("/links", json=link_body(slug="homepage-test"))
        assert response.status_code == 409
        assert response.json() == {"detail": "Slug 'homepage-test' is already taken"}

    async def test_deleted_slug_stays_reserved(self, caller: Caller) -> None:
        link = await create(caller, slug="once-only")
        await caller.api.delete(f"/links/{link['id']}")
        assert (await caller.api.post("/links", json=link_body(slug="once-only"))).status_code == 409

    async def test_one_of_many_gets_a_slug(self, caller: Caller, pool: asyncpg.Pool) -> None:
        responses = await asyncio.gather(
            *(caller.api.post("/links", json=link_body(slug="wanted")) for _ in range(20))
        )
        assert Counter(response.status_code for response in responses) == {201: 1, 409: 19}
        assert await count_rows(pool, "links") == 1

    async def test_every_fault_is_told_at_once(self, caller: Caller, pool: asyncpg.Pool) -> None:
        body = link_body(
            name=7,
            slug="a!",
            auto_winner="yes",
            auto_winner_threshold=9,
            routing_type="geo",
            variants=[
                {"label": "a", "destination_url": "ftp://example.com", "weight": 40},
                {"label": "a", "destination_url": "http://go.example.com/loop", "weight": 50},
                {"label": "", "weight": True},
            ],
            geo_rules={"us": "a", "DE": "nowhere"},
        )
        response = await caller.api.post("/links", json=body)
        assert response.status_code == 422
        detail = response.json()["detail"]
        for part in (
            "name must be text of 1 to 100 characters, got 7",
            'slug must be text of 3 to 32 characters matching ^[a-zA-Z0-9_-]+$, got "a!"',
            'auto_winner must be true or false, got "yes"',
            "auto_winner_threshold must be a whole number from 10 to 2147483647, got 9",
            'variants[0].destination_url must begin with http:// or https://, got "ftp://example.com"',
            'variants[1].label must be unique within the link, got "a"',
            "variants[1].destination_url must not lead back to http://go.example.com",
            'variants[2].label must be text of 1 to 50 characters, got ""',
            "variants[2].destination_url is required",
            "variants[2].weight must be a whole number from 0 to 100, got true",
            "geo_rules must include 'default'",
            "geo_rules.us must be keyed by ISO 3166-1 alpha-2 codes in upper case",
        ):
            assert part in detail.split("; ") or any(one.startswith(part) for one in detail.split("; ")), part
        assert await count_rows(pool, "links") == 0
        assert await count_rows(pool, "link_outbox") == 0

    @pytest.mark.parametrize(
        ("changes", "detail"),
        [
            ({"variants": [variant("a", 40), variant("b", 50)]}, "Variant weights must sum to 100, got 90"),
            ({"variants": [variant("a", 100)]}, "variants must be a list of 2 to 5 items, got 1"),
            (
                {"variants": [variant(str(n), 0) for n in range(6)]},
                "variants must be a list of 2 to 5 items, got 6",
            ),
            ({"name": "x" * 101}, f'name must be text of 1 to 100 characters, got "{"x" * 78}…'),
            ({"name": "a\0b"}, 'name must not contain a NUL character, got "a\\u0000b"'),
            ({"slug": "abc\n"}, 'slug must not contain a line break, got "abc\\n"'),
            ({"routing_type": "geo"}, "geo_rules is required when routing_type is 'geo'"),
            (
                {"geo_rules": {"default": "control", "FR": "variant_c"}},
                'geo_rules.FR must name the label of a variant, got "variant_c"',
            ),
            ({"geo_rules": {"default": 1}}, "geo_rules.default must be text, got 1"),
            (
                {"stickiness": "glue"},
                "stickiness must be one of 'cookie', 'fingerprint', 'none', got \"glue\"",
            ),
        ],
    )
    async def test_one_fault_is_told_alone(
        self, caller: Caller, changes: dict[str, Any], detail: str
    ) -> None:
        response = await caller.api.post("/links", json=link_body(**changes))
        assert (response.status_code, response.json()) == (422, {"detail": detail})

    @pytest.mark.parametrize(
        ("content", "detail"),
        [
            (b"", "The body is empty; it must be a JSON object"),
            (b"[]", "body must be an object, got []"),
            (b"null", "body must be an object, got null"),
            (b"{}", "name is required; variants is required"),
            (b"{", "The body is not valid JSON"),
            (b"\xff", "The body is not valid JSON"),
            (b"[" * 100_000, "The body is not valid JSON"),
        ],
    )
    async def test_malformed_body(self, caller: Caller, content: bytes, detail: str) -> None:
        response = await caller.api.post(
            "/links", content=content, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 422
        assert response.json()["detail"].startswith(detail)

    async def test_other_media_types_are_refused(self, caller: Caller) -> None:
        response = await caller.api.post("/links", data={"name": "x"})
        assert response.status_code == 415
        assert "application/json" in response.json()["detail"]

    async def test_body_over_a_mebibyte_is_refused(self, caller: Caller) -> None:
        response = await caller.api.post("/links", json=link_body(name="x" * 1024 * 1024))
        assert (response.status_code, response.json()) == (413, {"detail": "The body is larger than 1 MiB"})


class TestGet:
    async def test_gives_what_create_gave(self, caller: Caller) -> None:
        link = await create(caller, routing_type="geo", geo_rules={"US": "control", "default": "variant_b"})
        response = await caller.api.get(f"/links/{link['id']}")
        assert (response.status_code, response.json()) == (200, link)

    async def test_a_colleagues_link_is_not_found(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller)
        await pool.execute(
            "INSERT INTO users SELECT tenant_id, $1, 'colleague@acme.test', created_at FROM users",
            colleague := uuid.uuid4(),
        )
        await pool.execute("UPDATE api_keys SET user_id = $1", colleague)
        assert (await caller.api.get(f"/links/{link['id']}")).status_code == 404
        assert (await caller.api.get("/links")).json() == {"items": [], "total": 0}

    async def test_head_is_get_without_the_body(self, caller: Caller) -> None:
        link = await create(caller)
        response = await caller.api.head(f"/links/{link['id']}")
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["Content-Length"]) > 0


class TestList:
    async def test_newest_first_page_by_page(self, caller: Caller, clock: SetClock) -> None:
        names = []
        for number in range(5):
            clock.advance(seconds=1)
            names.append((await create(caller, name=f"Link {number}"))["name"])
        pages = [
            (await caller.api.get("/links", params={"page": page, "per_page": 2})).json()
            for page in (1, 2, 3, 4)
        ]
        assert [[item["name"] for item in page["items"]] for page in pages] == [
            names[4:2:-1],
            names[2:0:-1],
            names[:1],
            [],
        ]
        assert {page["total"] for page in pages} == {5}

    async def test_totals_come_from_the_rollups(self, caller: Caller, pool: asyncpg.Pool) -> None:
        quiet, busy = await create(caller, name="Quiet"), await create(caller, name="Busy")
        for one, clicks, conversions in zip(busy["variants"], (900, 300), (3, 7), strict=True):
            await pool.execute(
                "INSERT INTO click_totals VALUES ($1, $2, $3, $4, 0, 0, $5)",
                caller.account.tenant_id,
                uuid.UUID(busy["id"]),
                uuid.UUID(one["id"]),
                clicks,
                conversions,
            )
        items = {item["id"]: item for item in (await caller.api.get("/links")).json()["items"]}
        totals = ("total_clicks", "total_conversions", "top_variant")
        assert [items[busy["id"]][name] for name in totals] == [1200, 10, "variant_b"]
        assert [items[quiet["id"]][name] for name in totals] == [0, 0, None]

    async def test_deleted_links_are_gone(self, caller: Caller) -> None:
        link = await create(caller)
        await caller.api.delete(f"/links/{link['id']}")
        assert (await caller.api.get("/links")).json() == {"items": [], "total": 0}

    @pytest.mark.parametrize(
        ("query", "detail"),
        [
            ("page=0", 'page must be a whole number of at least 1, got "0"'),
            ("per_page=101", 'per_page must be a whole number from 1 to 100, got "101"'),
            (
                "page=x&per_page=",
                (
                    'page must be a whole number of at least 1, got "x"; '
                    'per_page must be a whole number from 1 to 100, got ""'
                ),
            ),
        ],
    )
    async def test_paging_out_of_range(self, caller: Caller, query: str, detail: str) -> None:
        response = await caller.api.get(f"/links?{query}")
        assert (response.status_code, response.json()) == (422, {"detail": detail})

    async def test_a_page_beyond_all_bounds_is_empty(self, caller: Caller) -> None:
        await create(caller)
        response = await caller.api.get(f"/links?page={10**30}")
        assert (response.status_code, response.json()) == (200, {"items": [], "total": 1})


class TestChange:
    async def test_changes_what_is_given(self, caller: Caller, clock: SetClock) -> None:
        link = await create(caller)
        clock.advance(seconds=5)
        changes = {"name": "New name", "is_active": False, "stickiness": "none", "auto_winner": True}
        response = await caller.api.patch(f"/links/{link['id']}", json=changes)
        assert response.status_code == 200
        assert response.json() == link | changes | {"updated_at": "2026-05-04T10:20:35Z"}
        assert (await caller.api.get(f"/links/{link['id']}")).json() == response.json()

    async def test_each_change_is_a_version_and_is_published(
        self, caller: Caller, pool: asyncpg.Pool
    ) -> None:
        link = await create(caller)
        moments = [datetime.fromisoformat(link["updated_at"])]
        for name in ("One", "Two"):
            changed = await caller.api.patch(f"/links/{link['id']}", json={"name": name})
            moments.append(datetime.fromisoformat(changed.json()["updated_at"]))
        await caller.api.delete(f"/links/{link['id']}")
        assert moments == sorted(set(moments))
        assert await pool.fetchval("SELECT version FROM links") == 4
        assert await count_rows(pool, "link_outbox") == 4

    async def test_known_labels_keep_their_ids_and_what_is_left_out(
        self, caller: Caller, pool: asyncpg.Pool
    ) -> None:
        link = await create(caller)
        wanted = [variant("third", 70), {"label": "control", "weight": 30}]
        response = await caller.api.patch(f"/links/{link['id']}", json={"variants": wanted})
        third, control = response.json()["variants"]
        assert control == link["variants"][0] | {"weight": 30}
        assert (third["label"], third["weight"]) == ("third", 70)
        assert await pool.fetchval("SELECT label FROM variants WHERE removed_at IS NOT NULL") == "variant_b"

    async def test_a_label_that_returns_is_a_new_variant(self, caller: Caller) -> None:
        link = await create(caller)
        path = f"/links/{link['id']}"
        await caller.api.patch(path, json={"variants": [variant("control", 50), variant("x", 50)]})
        back = [variant("control", 50), variant("variant_b", 50)]
        response = await caller.api.patch(path, json={"variants": back})
        control, returned = response.json()["variants"]
        assert control["id"] == link["variants"][0]["id"]
        assert returned["id"] != link["variants"][1]["id"]

    async def test_rules_hold_on_the_result(self, caller: Caller) -> None:
        link = await create(caller)
        changes = {
            "routing_type": "geo",
            "geo_rules": {"default": "control", "DE": "variant_b"},
            "variants": [{"label": "control"}, {"label": "new", "weight": 20}],
        }
        response = await caller.api.patch(f"/links/{link['id']}", json=changes)
        assert response.status_code == 422
        assert response.json()["detail"].split("; ") == [
            "variants[1].destination_url is required for a new variant",
            "Variant weights must sum to 100, got 70",
            'geo_rules.DE must name the label of a variant, got "variant_b"',
        ]
        assert (await caller.api.get(f"/links/{link['id']}")).json() == link

    async def test_geo_rules_are_removed_by_null_only(self, caller: Caller) -> None:
        link = await create(caller, geo_rules={"default": "control"})
        path = f"/links/{link['id']}"
        assert (await caller.api.patch(path, json={})).json()["geo_rules"] == {"default": "control"}
        assert (await caller.api.patch(path, json={"geo_rules": None})).json()["geo_rules"] is None
        refused = await caller.api.patch(path, json={"name": None, "routing_type": "geo"})
        assert refused.json()["detail"].split("; ") == [
            "name must be text of 1 to 100 characters, got null",
            "geo_rules is required when routing_type is 'geo'",
        ]

    async def test_a_slug_never_changes(self, caller: Caller) -> None:
        link = await create(caller, slug="first")
        response = await caller.api.patch(f"/links/{link['id']}", json={"slug": "second"})
        assert response.status_code == 422
        assert response.json() == {"detail": 'slug must not be given: a slug never changes, got "second"'}

    async def test_changes_at_once_follow_one_another(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller)
        halves = [[variant(f"a{n}", 50), variant(f"b{n}", 50)] for n in range(8)]
        responses = await asyncio.gather(
            *(caller.api.patch(f"/links/{link['id']}", json={"variants": half}) for half in halves)
        )
        assert {response.status_code for response in responses} == {200}
        assert len({response.json()["updated_at"] for response in responses}) == 8
        assert await pool.fetchval("SELECT version FROM links") == 9
        assert await pool.fetchval("SELECT count(*) FROM variants WHERE removed_at IS NULL") == 2


class TestDelete:
    async def test_keeps_the_row_and_says_nothing(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller)
        response = await caller.api.delete(f"/links/{link['id']}")
        assert (response.status_code, response.content) == (204, b"")
        assert await pool.fetchval("SELECT deleted_at IS NOT NULL FROM links")

    async def test_only_the_first_of_many_deletes(self, caller: Caller) -> None:
        link = await create(caller)
        responses = await asyncio.gather(*(caller.api.delete(f"/links/{link['id']}") for _ in range(5)))
        assert Counter(response.status_code for response in responses) == {204: 1, 404: 4}
