from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Role
from tests.builders import LinkRow, insert_link
from tests.dialects.links.conftest import make_caller
from tests.dialects.members import make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

ZERO = {
    "renders_completed": 0,
    "render_seconds": 0,
    "storage_bytes": 0,
    "api_calls": 0,
    "active_users": 0,
    "amount_billed_minor": 0,
    "billing_currency": "USD",
    "billing_status": "not_billed",
}


async def read_usage(caller: Member, query: str = "", tenant_id: uuid.UUID | None = None) -> list[Any]:
    answer = await caller.api.get(f"/v1/tenants/{tenant_id or caller.tenant_id}/usage{query}")
    assert answer.status_code == 200, answer.text
    days: list[Any] = answer.json()["data"]
    return days


class TestUsage:
    async def test_anonymous(self, anonymous: httpx.AsyncClient, member: Member) -> None:
        assert (await anonymous.get(f"/v1/tenants/{member.tenant_id}/usage")).status_code == 401

    async def test_an_analyst_may_not(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        analyst = await make_member(app, pool, settings, clock(), role=Role.ANALYST)
        answer = await analyst.api.get(f"/v1/tenants/{analyst.tenant_id}/usage")
        assert (answer.status_code, answer.json()["code"]) == (403, "role_required")

    async def test_another_tenant_is_not_there(self, member: Member, stranger: Member) -> None:
        answer = await member.api.get(f"/v1/tenants/{stranger.tenant_id}/usage")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")

    async def test_a_superadmin_reads_any_that_there_is(self, superadmin: Member, member: Member) -> None:
        assert len(await read_usage(superadmin, tenant_id=member.tenant_id)) == 30
        assert (await superadmin.api.get(f"/v1/tenants/{uuid.uuid4()}/usage")).status_code == 404

    async def test_every_day_is_there(self, member: Member) -> None:
        days = await read_usage(member, "?from=2024-02-28&to=2024-03-01")
        assert days == [{"usage_date": day} | ZERO for day in ("2024-02-28", "2024-02-29", "2024-03-01")]

    async def test_where_nothing_is_said_it_is_the_last_thirty(self, member: Member) -> None:
        days = await read_usage(member)
        assert (len(days), days[0]["usage_date"], days[-1]["usage_date"]) == (30, "2026-04-05", "2026-05-04")
        until = await read_usage(member, "?to=2026-01-30")
        assert (len(until), until[0]["usage_date"]) == (30, "2026-01-01")
        since = await read_usage(member, "?from=2026-01-01")
        assert (len(since), since[-1]["usage_date"]) == (30, "2026-01-30")

    async def test_redirects_are_those_of_the_utc_day_without_prefetches(
        self, member: Member, stranger: Member, pool: asyncpg.Pool
    ) -> None:
        for owner, factor in ((member, 1), (stranger, 100)):
            for _ in range(2):
                link = LinkRow(owner.tenant_id, owner.user_id, uuid.uuid4().hex)
                async with pool.acquire() as db:
                    await insert_link(db, link)
                for hour, clicks in (("02T23", 1), ("03T00", 10), ("03T23", 20), ("04T00", 500)):
                    await pool.execute(
                        "INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot,"
                        " clicks, prefetches) VALUES ($1, 1, $2, $3, CAST($4::text AS timestamptz), $5, 1)",
                        owner.tenant_id,
                        link.id,
                        link.variants[0].id,
                        f"2026-05-{hour}:00Z",
                        clicks * factor,
                    )
        days = await read_usage(member, "?from=2026-05-02&to=2026-05-04")
        assert [day["renders_completed"] for day in days] == [0, 2 * 28, 2 * 499]

    async def test_calls_and_users_are_counted_on_their_day(  # noqa: PLR0913, PLR0917  all who call
        self,
        app: Any,
        clock: SetClock,
        member: Member,
        viewer: Member,
        stranger: Member,
        anonymous: httpx.AsyncClient,
    ) -> None:
        for caller in (member, viewer, viewer):
            await caller.api.get("/v1/users/me")
        assert (await viewer.api.get("/v1/users")).status_code == 403
        assert (await anonymous.get("/v1/users/me")).status_code == 401
        await stranger.api.get("/v1/users/me")
        clock.now = clock.now.replace(hour=23, minute=59)
        tokens = (
            await anonymous.post("/v1/auth/refresh", json={"refresh_token": member.tokens.refresh_token})
        ).json()
        member.api.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        await member.api.get("/v1/users/me")
        clock.advance(minutes=2)
        await member.api.get("/v1/users/me")
        await app.state.services.usage.flush()
        first, second = await read_usage(member, "?from=2026-05-04&to=2026-05-05")
        assert (first["api_calls"], first["active_users"]) == (5, 2)
        assert (second["api_calls"], second["active_users"]) == (1, 1)

    async def test_keys_count_as_calls_and_not_as_people(
        self, app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock, superadmin: Member
    ) -> None:
        caller = await make_caller(app, pool, settings, clock())
        for _ in range(3):
            assert (await caller.api.get("/links")).status_code == 200
        await caller.manage.get("/keys")
        await pool.execute("UPDATE plans SET api_requests_per_hour = 0")
        assert (await caller.api.get("/links")).status_code == 429
        await app.state.services.usage.flush()
        (day,) = await read_usage(
            superadmin, "?from=2026-05-04&to=2026-05-04", tenant_id=caller.account.tenant_id
        )
        assert (day["api_calls"], day["active_users"]) == (4, 1)

    async def test_the_longest_span_is_a_leap_year(self, member: Member) -> None:
        assert len(await read_usage(member, "?from=2024-01-01&to=2024-12-31")) == 366

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("from=2026-05-02&to=2026-05-01", "to"),
            ("from=2024-01-01&to=2025-01-01", "to"),
            ("from=0001-01-01&to=0001-01-02", "from"),
            ("to=0001-01-02", "to"),
            ("from=9999-12-31", "from"),
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("from=2026-05-04T00:00:00Z", "from"),
        ],
    )
    async def test_bad_spans_are_named(self, member: Member, query: str, field: str) -> None:
        answer = await member.api.get(f"/v1/tenants/{member.tenant_id}/usage?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
