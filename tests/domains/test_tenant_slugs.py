from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.actor import Role
from control_plane.domains.accounts import service as accounts
from control_plane.domains.tenants import store
from control_plane.domains.tenants.slugs import derive_slug, find_broken_rule, is_slug
from control_plane.domains.users import store as users

if TYPE_CHECKING:
    import uuid

    import asyncpg

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize("slug", ["abc", "a-b", "a1b", "123", "a" * 63, "acme--corp", "demo"])
def test_slugs(slug: str) -> None:
    assert find_broken_rule(slug) is None
    assert is_slug(slug)


@pytest.mark.parametrize(
    "slug", ["", "ab", "a" * 64, "Abc", "-abc", "abc-", "a_b", "a.b", "abc\n", "xn--abc", "www", "admin"]
)
def test_what_is_no_slug(slug: str) -> None:
    assert find_broken_rule(slug) is not None


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Acme", "acme"), ("Demo", "demo"), ("Café Noir, Inc.", "cafe-noir-inc"), ("x" * 100, "x" * 56)],
)
def test_a_name_becomes_a_slug(name: str, slug: str) -> None:
    assert derive_slug(name) == slug


@given(st.text(max_size=80))
def test_every_name_becomes_a_slug(name: str) -> None:
    assert find_broken_rule(derive_slug(name)) is None


class TestCreateTenantWithUser:
    async def make(self, pool: asyncpg.Pool, name: str) -> tuple[uuid.UUID, uuid.UUID]:
        async with pool.acquire() as db, db.transaction():
            account = await accounts.create_tenant_with_user(
                db, tenant_name=name, email="owner@example.com", plan_code="growth", now=NOW
            )
        return account.tenant_id, account.user_id

    async def test_the_first_user_is_the_admin(self, pool: asyncpg.Pool) -> None:
        tenant_id, user_id = await self.make(pool, "Acme")
        async with pool.acquire() as db:
            user = await users.fetch_user(db, tenant_id, user_id)
        assert user is not None
        assert (user.role, user.email, user.is_superadmin) == (Role.ADMIN, "owner@example.com", False)

    async def test_a_slug_that_is_taken_gets_a_suffix(self, pool: asyncpg.Pool) -> None:
        tenant_ids = [(await self.make(pool, "Acme"))[0] for _ in range(3)]
        rows = await pool.fetch("SELECT slug FROM tenants WHERE id = ANY($1) ORDER BY number", tenant_ids)
        first, *others = [row["slug"] for row in rows]
        assert first == "acme"
        assert all(slug.startswith("acme-") for slug in others)
        assert len(set(others)) == 2


class TestFindIdBySlug:
    @pytest.mark.parametrize(
        ("status", "found"), [("Active", True), ("Trial", True), ("Suspended", False), ("Cancelled", False)]
    )
    async def test_finds_live_tenants(self, pool: asyncpg.Pool, status: str, found: bool) -> None:
        async with pool.acquire() as db, db.transaction():
            account = await accounts.create_tenant_with_user(
                db, tenant_name="Acme", email="owner@example.com", plan_code="growth", now=NOW
            )
            await db.execute("UPDATE tenants SET status = $1", status)
            tenant_id = await store.find_id_by_slug(db, "acme")
            assert tenant_id == (account.tenant_id if found else None)
            for slug in ("nobody", "ACME", "", "\0", "a\ud800b"):
                assert await store.find_id_by_slug(db, slug) is None
