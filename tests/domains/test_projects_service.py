"""Projects: what is stored of them, and their secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from control_plane.core.actor import SYSTEM
from control_plane.core.errors import Invalid
from control_plane.core.ids import new_id
from control_plane.domains.projects import service
from control_plane.domains.projects.errors import ProjectNotFound
from control_plane.domains.projects.model import GRACE, ProjectChanges, ProjectDraft
from edge.contract.key_format import hash_secret, is_well_formed
from tests.builders import insert_user

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
SHOP = ProjectDraft(name="Shop")


@pytest.fixture
async def tenant_id(pool: asyncpg.Pool) -> UUID:
    async with pool.acquire() as db:
        return (await insert_user(db))[0]


class TestRules:
    def test_a_draft_is_stored_as_it_is_meant(self) -> None:
        draft = ProjectDraft(name=" Shop ", domain="Böse.Example.", currency="brl")
        settled = service.settle(draft)
        assert (settled.name, settled.domain, settled.currency) == ("Shop", "xn--bse-sna.example", "BRL")

    def test_every_fault_is_named(self) -> None:
        draft = ProjectDraft(name=" ", domain="https://shop.example/", status="gone", currency="XXL")
        with pytest.raises(Invalid) as refused:
            service.settle(draft)
        assert [fault.field for fault in refused.value.faults] == ["name", "domain", "status", "currency"]

    @pytest.mark.parametrize("name", ["", "x" * 121, "a\nb"])
    def test_names_have_bounds(self, name: str) -> None:
        with pytest.raises(Invalid, match="name must be 1 to 120 printable characters"):
            service.settle(ProjectDraft(name=name))

    @pytest.mark.parametrize(
        "domain", ["", "a b", "-a.example", "x" * 64, "shop.example/p", ".".join(["a" * 60] * 5)]
    )
    def test_domains_are_names(self, domain: str) -> None:
        with pytest.raises(Invalid, match="domain must be"):
            service.settle(ProjectDraft(name="Shop", domain=domain))


class TestChanges:
    async def test_one_is_made_with_a_secret_of_which_the_hash_is_kept(
        self, pool: asyncpg.Pool, tenant_id: UUID
    ) -> None:
        async with pool.acquire() as db, db.transaction():
            new = await service.create_project(db, SYSTEM, tenant_id, SHOP, NOW)
        assert is_well_formed(new.secret, "sps_")
        assert new.secret not in repr(new)
        stored = await pool.fetchval("SELECT secret_hash FROM projects WHERE id = $1", new.project.id)
        assert stored == hash_secret(new.secret)
        assert await pool.fetchval("SELECT project_id FROM intake_outbox") == new.project.id

    async def test_a_change_is_a_version_and_in_the_audit(self, pool: asyncpg.Pool, tenant_id: UUID) -> None:
        later = NOW + timedelta(hours=1)
        async with pool.acquire() as db, db.transaction():
            made = (await service.create_project(db, SYSTEM, tenant_id, SHOP, NOW)).project
            changes = ProjectChanges(status="paused", domain="shop.example")
            changed = await service.change_project(db, SYSTEM, tenant_id, made.id, changes, now=later)
            again = await service.change_project(db, SYSTEM, tenant_id, made.id, changes, now=later)
        assert (changed.version, changed.status, changed.domain, changed.name) == (
            2,
            "paused",
            "shop.example",
            "Shop",
        )
        assert again == changed
        actions = await pool.fetch("SELECT action, after FROM audit_log ORDER BY id")
        assert [row["action"] for row in actions] == ["project.create", "project.update"]
        assert actions[1]["after"] == {"status": "paused", "domain": "shop.example"}
        assert await pool.fetchval("SELECT count(*) FROM intake_outbox") == 2

    async def test_another_tenants_is_not_found(self, pool: asyncpg.Pool, tenant_id: UUID) -> None:
        async with pool.acquire() as db, db.transaction():
            made = (await service.create_project(db, SYSTEM, tenant_id, SHOP, NOW)).project
            stranger = (await insert_user(db))[0]
            for tenant, project in ((stranger, made.id), (tenant_id, new_id())):
                with pytest.raises(ProjectNotFound):
                    await service.change_project(
                        db, SYSTEM, tenant, project, ProjectChanges(name="Mine"), now=NOW
                    )
                with pytest.raises(ProjectNotFound):
                    await service.rotate_secret(db, SYSTEM, tenant, project, ends_previous=True, now=NOW)


class TestSecrets:
    @pytest.mark.parametrize("ends_previous", [False, True])
    async def test_the_one_before_serves_for_a_day_unless_it_is_ended(
        self, pool: asyncpg.Pool, tenant_id: UUID, ends_previous: bool
    ) -> None:
        async with pool.acquire() as db, db.transaction():
            first = await service.create_project(db, SYSTEM, tenant_id, SHOP, NOW)
            second = await service.rotate_secret(
                db, SYSTEM, tenant_id, first.project.id, ends_previous=ends_previous, now=NOW
            )
        row = await pool.fetchrow(
            "SELECT secret_hash, previous_secret_hash, previous_secret_until, version FROM projects"
        )
        assert row is not None
        kept = (None, None) if ends_previous else (hash_secret(first.secret), NOW + GRACE)
        assert tuple(row) == (hash_secret(second.secret), *kept, 2)
        assert await pool.fetchval("SELECT count(*) FROM audit_log WHERE after::text LIKE '%sps_%'") == 0
