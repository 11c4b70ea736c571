"""Links on custom domains of a tenant's own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.domains.links.model import LinkContent, NewLink, VariantContent
from control_plane.domains.links.service import fingerprint
from control_plane.domains.links.short_urls import build_short_url, spell_domain
from tests.builders import LONG_AGO, set_domain
from tests.dialects.links.conftest import create, link_body

if TYPE_CHECKING:
    import asyncpg

    from tests.dialects.links.conftest import Caller

ACME, GLOBEX = "go.acme.example", "globex.example"
FINGERPRINT = "9e5f07e49a8dcdcf5fcc99f4ae1cf6068f969a8a799e2400c3def180a27d39d9"
"""Computed before links had domains."""


async def give(
    pool: asyncpg.Pool, caller: Caller, domain: str, status: str = "verified", days: int = 0
) -> None:
    """Give the caller's tenant a domain; `days`: so long after the others."""
    async with pool.acquire() as db:
        await set_domain(db, caller.account.tenant_id, domain, status)
        when = LONG_AGO + timedelta(days=days)
        await db.execute("UPDATE custom_domains SET verified_at = $1 WHERE domain = $2", when, domain)


async def refused(caller: Caller, domain: Any) -> str:
    response = await caller.api.post("/links", json=link_body(domain=domain))
    assert response.status_code == 422
    detail: str = response.json()["detail"]
    return detail


def place(link: dict[str, Any]) -> tuple[str | None, str]:
    return link["domain"], link["short_url"]


class TestCreate:
    async def test_a_tenant_without_a_domain_has_the_services_own(self, caller: Caller) -> None:
        link = await create(caller, slug="summer")
        assert place(link) == (None, "http://go.example.com/summer")

    async def test_by_default_it_is_the_domain_that_was_verified_first(
        self, caller: Caller, stranger: Caller, pool: asyncpg.Pool
    ) -> None:
        await give(pool, caller, "late.example", days=2)
        await give(pool, caller, ACME, days=1)
        await give(pool, caller, "lapsed.example", "lapsed")
        await give(pool, caller, "pending.example", "pending")
        await give(pool, stranger, GLOBEX)
        assert place(await create(caller, slug="summer")) == (ACME, f"https://{ACME}/summer")

    async def test_null_asks_for_the_services_own(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await give(pool, caller, ACME)
        link = await create(caller, slug="summer", domain=None)
        assert place(link) == (None, "http://go.example.com/summer")

    @pytest.mark.parametrize("spelling", [ACME, "GO.Acme.example", f"{ACME}."])
    async def test_a_name_asks_for_that_domain(
        self, caller: Caller, pool: asyncpg.Pool, spelling: str
    ) -> None:
        await give(pool, caller, "first.example")
        await give(pool, caller, ACME, days=1)
        assert (await create(caller, domain=spelling))["domain"] == ACME

    async def test_a_domain_may_be_named_in_its_own_script(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await give(pool, caller, "xn--bcher-kva.example")
        link = await create(caller, slug="summer", domain="Bücher.example")
        assert place(link) == ("xn--bcher-kva.example", "https://xn--bcher-kva.example/summer")

    async def test_what_is_no_verified_domain_of_the_tenant_is_refused(
        self, caller: Caller, stranger: Caller, pool: asyncpg.Pool
    ) -> None:
        await give(pool, stranger, GLOBEX)
        await give(pool, caller, "lapsed.example", "lapsed")
        await give(pool, caller, "pending.example", "pending")
        for domain in (
            GLOBEX,
            "lapsed.example",
            "pending.example",
            "nobody.example",
            "a b",
            "go.example.com",
        ):
            detail = await refused(caller, domain)
            assert detail == f'domain must be a verified domain of the tenant, got "{domain}"'
        assert await pool.fetchval("SELECT count(*) FROM links") == 0

    @pytest.mark.parametrize("domain", ["", "x" * 254, 7, ["a"]])
    async def test_what_is_no_name_is_refused(self, caller: Caller, domain: Any) -> None:
        assert (await refused(caller, domain)).startswith("domain must be ")

    async def test_a_slug_is_taken_on_one_domain_only(
        self, caller: Caller, stranger: Caller, pool: asyncpg.Pool
    ) -> None:
        await give(pool, caller, ACME)
        await give(pool, stranger, GLOBEX)
        links = [
            await create(caller, slug="summer"),
            await create(caller, slug="summer", domain=None),
            await create(stranger, slug="summer"),
        ]
        assert [link["domain"] for link in links] == [ACME, None, GLOBEX]
        for who, domain in ((caller, ACME), (stranger, GLOBEX), (stranger, None)):
            response = await who.api.post("/links", json=link_body(slug="summer", domain=domain))
            assert response.status_code == 409
            assert response.json() == {"detail": "Slug 'summer' is already taken"}

    async def test_who_takes_a_domain_over_does_not_get_its_slugs(
        self, caller: Caller, stranger: Caller, pool: asyncpg.Pool
    ) -> None:
        await give(pool, caller, ACME)
        link = await create(caller, slug="summer")
        await give(pool, caller, ACME, "lapsed")
        await give(pool, stranger, ACME)
        assert (await stranger.api.post("/links", json=link_body(slug="summer"))).status_code == 409
        assert (await stranger.api.get(f"/links/{link['id']}")).status_code == 404
        assert (await create(stranger, slug="autumn"))["domain"] == ACME

    async def test_the_domain_goes_with_the_publication(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await give(pool, caller, ACME)
        link = await create(caller)
        assert await pool.fetchval("SELECT domain FROM links WHERE id = $1", link["id"]) == ACME


class TestRepeats:
    async def test_a_repeat_gives_the_link_though_the_default_has_changed(
        self, caller: Caller, pool: asyncpg.Pool
    ) -> None:
        headers = {"Idempotency-Key": "once"}
        first = await caller.api.post("/links", json=link_body(), headers=headers)
        await give(pool, caller, ACME)
        again = await caller.api.post("/links", json=link_body(), headers=headers)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert again.json()["domain"] is None

    async def test_a_repeat_gives_the_link_though_its_domain_is_lost(
        self, caller: Caller, pool: asyncpg.Pool
    ) -> None:
        await give(pool, caller, ACME)
        headers, body = {"Idempotency-Key": "once"}, link_body(domain=ACME)
        first = await caller.api.post("/links", json=body, headers=headers)
        await give(pool, caller, ACME, "lapsed")
        again = await caller.api.post("/links", json=body | {"domain": ACME.upper()}, headers=headers)
        assert (first.status_code, again.status_code) == (201, 200)
        other = await caller.api.post("/links", json=link_body(domain=None), headers=headers)
        assert other.status_code == 422

    async def test_a_refused_domain_leaves_the_key_unused(self, caller: Caller, pool: asyncpg.Pool) -> None:
        headers, body = {"Idempotency-Key": "once"}, link_body(domain=ACME)
        assert (await caller.api.post("/links", json=body, headers=headers)).status_code == 422
        await give(pool, caller, ACME)
        assert (await caller.api.post("/links", json=body, headers=headers)).status_code == 201

    def test_fingerprints_are_what_they_were_before_there_were_domains(self) -> None:
        content = LinkContent(
            name="Homepage Test",
            is_active=True,
            variants=[VariantContent(label, "https://example.com/", 50) for label in ("a", "b")],
            auto_winner=False,
            auto_winner_threshold=100,
            routing_type="ab_test",
            geo_rules=None,
            stickiness="cookie",
            forward_query=True,
        )
        assert fingerprint(NewLink("summer", content)).hex() == FINGERPRINT
        assert fingerprint(NewLink("summer", content, None)).hex() != FINGERPRINT


class TestReadAndChange:
    async def test_a_link_says_where_it_is(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await give(pool, caller, ACME)
        links = [await create(caller, slug="summer"), await create(caller, slug="winter", domain=None)]
        listed = (await caller.api.get("/links")).json()["items"]
        expected = [(ACME, f"https://{ACME}/summer"), (None, "http://go.example.com/winter")]
        assert [place(item) for item in reversed(listed)] == expected
        for link, there in zip(links, expected, strict=True):
            assert place((await caller.api.get(f"/links/{link['id']}")).json()) == there

    async def test_a_link_keeps_a_domain_that_is_lost(self, caller: Caller, pool: asyncpg.Pool) -> None:
        await give(pool, caller, ACME)
        link = await create(caller, slug="summer")
        await give(pool, caller, ACME, "lapsed")
        response = await caller.api.patch(f"/links/{link['id']}", json={"name": "Other"})
        assert place(response.json()) == (ACME, f"https://{ACME}/summer")

    @pytest.mark.parametrize("domain", [GLOBEX, ACME, None])
    async def test_a_link_never_moves(self, caller: Caller, pool: asyncpg.Pool, domain: str | None) -> None:
        await give(pool, caller, ACME)
        await give(pool, caller, GLOBEX, days=1)
        link = await create(caller)
        response = await caller.api.patch(f"/links/{link['id']}", json={"domain": domain})
        assert response.status_code == 422
        assert "domain must not be given: a link never moves" in response.json()["detail"]
        assert (await caller.api.get(f"/links/{link['id']}")).json()["domain"] == ACME


class TestShortUrl:
    @pytest.mark.parametrize(
        ("edge_url", "own", "custom"),
        [
            ("https://go.example.com", "https://go.example.com/summer", f"https://{ACME}/summer"),
            ("http://go.example.com/", "http://go.example.com/summer", f"https://{ACME}/summer"),
            ("https://go.example.com:8443", "https://go.example.com:8443/summer", f"https://{ACME}/summer"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/summer", f"http://{ACME}:8080/summer"),
            ("http://localhost", "http://localhost/summer", f"http://{ACME}/summer"),
            ("http://[::1]:8080", "http://[::1]:8080/summer", f"http://{ACME}:8080/summer"),
            ("https://localhost:8443", "https://localhost:8443/summer", f"https://{ACME}/summer"),
        ],
    )
    def test_where_visitors_find_a_link(self, edge_url: str, own: str, custom: str) -> None:
        assert build_short_url("", "summer", edge_url) == own
        assert build_short_url(ACME, "summer", edge_url) == custom

    @pytest.mark.parametrize("text", ["", ".", "a..b", "a b", "\u2024", "x" * 300, "-", "*.acme.example"])
    def test_what_is_no_name_is_spelt_as_it_was(self, text: str) -> None:
        assert spell_domain(text) == text
