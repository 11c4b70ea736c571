"""What the service of links does that no request can show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from control_plane.domains.accounts import service as accounts
from control_plane.domains.links import service
from control_plane.domains.links.errors import NoFreeSlug
from control_plane.domains.links.model import LinkContent, NewLink, VariantContent

if TYPE_CHECKING:
    import asyncpg

    from control_plane.domains.accounts.model import Account

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
CONTENT = LinkContent(
    name="Name",
    is_active=True,
    variants=[VariantContent(label, "https://example.com/", 50) for label in ("a", "b")],
    auto_winner=False,
    auto_winner_threshold=100,
    routing_type="ab_test",
    geo_rules=None,
    stickiness="cookie",
    forward_query=True,
)


@pytest.fixture
async def account(pool: asyncpg.Pool) -> Account:
    async with pool.acquire() as db, db.transaction():
        return await accounts.create_tenant_with_user(
            db, tenant_name="Acme", email="owner@acme.test", plan_code="growth", now=NOW
        )


class TestDrawnSlugs:
    async def test_a_collision_is_drawn_again(self, pool: asyncpg.Pool, account: Account) -> None:
        draws = iter(["first", "first", "first", "second"])
        new_link = NewLink(None, CONTENT)
        slugs = []
        for _ in range(2):
            async with pool.acquire() as db, db.transaction():
                link, _is_new = await service.create_link(
                    db, account, new_link, now=NOW, draw=lambda: next(draws)
                )
            slugs.append(link.slug)
        assert slugs == ["first", "second"]

    async def test_it_gives_up_when_nothing_is_free(self, pool: asyncpg.Pool, account: Account) -> None:
        async with pool.acquire() as db, db.transaction():
            await service.create_link(db, account, NewLink("full", CONTENT), now=NOW)
        with pytest.raises(NoFreeSlug):
            async with pool.acquire() as db, db.transaction():
                await service.create_link(db, account, NewLink(None, CONTENT), now=NOW, draw=lambda: "full")
        assert await pool.fetchval("SELECT count(*) FROM links") == 1
