"""Clicks of a link: order, totals, dates, pages."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.ids import id_floor
from tests.dialects.links.conftest import link_body

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import Caller

FIRST = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


async def make_link(caller: Caller) -> dict[str, Any]:
    link: dict[str, Any] = (await caller.api.post("/links", json=link_body())).json()
    return link


async def land_clicks(
    pool: asyncpg.Pool, caller: Caller, link: dict[str, Any], moments: list[datetime]
) -> list[str]:
    """Write clicks and their rollups as the flusher does; give their ids, newest first."""
    ids = [uuid.UUID(int=id_floor(moment).int | number) for number, moment in enumerate(moments)]
    variants = [uuid.UUID(variant["id"]) for variant in link["variants"]]
    tenant_id, link_id = caller.account.tenant_id, uuid.UUID(link["id"])
    rows = [
        (tenant_id, click_id, link_id, variants[n % 2], moments[n], "198.51.100.7", "DE", n % 3 == 0)
        for n, click_id in enumerate(ids)
    ]
    async with pool.acquire() as db, db.transaction():
        await db.executemany(
            "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch,"
            " is_bot, is_conversion, verdict_version, landed_at, ip_address, country)"
            " VALUES ($1, $2, $3, $4, 1, 4, false, false, $8, 1, $5, $6, $7)",
            rows,
        )
        await db.execute(
            "INSERT INTO click_totals SELECT tenant_id, link_id, variant_id, count(*), 0, 0,"
            " count(*) FILTER (WHERE is_conversion) FROM clicks WHERE link_id = $1 GROUP BY 1, 2, 3",
            link_id,
        )
        await db.execute(
            "INSERT INTO traffic_slots (tenant_id, subject_kind, subject, variant_id, slot, clicks)"
            " SELECT tenant_id, 1, link_id, variant_id, date_bin('15 minutes', landed_at, 'epoch'), count(*)"
            " FROM clicks WHERE link_id = $1 GROUP BY 1, 3, 4, 5",
            link_id,
        )
    return [str(click_id) for click_id in sorted(ids, reverse=True)]


async def get_clicks(caller: Caller, link: dict[str, Any], **params: Any) -> httpx.Response:
    return await caller.api.get(f"/links/{link['id']}/clicks", params=params)


class TestListClicks:
    async def test_shows_every_field(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await make_link(caller)
        moment = FIRST + timedelta(milliseconds=7)
        (click_id,) = await land_clicks(pool, caller, link, [moment])
        response = await get_clicks(caller, link)
        assert response.status_code == 200
        assert response.json() == {
            "items": [
                {
                    "id": click_id,
                    "link_id": link["id"],
                    "variant_id": link["variants"][0]["id"],
                    "ip_address": "198.51.100.7",
                    "user_agent": "",
                    "referrer": None,
                    "country": "DE",
                    "is_conversion": True,
                    "is_bot": False,
                    "is_prefetch": False,
                    "created_at": "2026-05-01T09:30:00.007000Z",
                }
            ],
            "total": 1,
            "page": 1,
            "per_page": 50,
        }

    async def test_empty_texts_are_null(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await make_link(caller)
        await land_clicks(pool, caller, link, [FIRST])
        await pool.execute("UPDATE clicks SET country = '', referrer = '', ip_address = NULL")
        (click,) = (await get_clicks(caller, link)).json()["items"]
        assert (click["country"], click["referrer"], click["ip_address"]) == (None, None, "")

    async def test_clicks_of_other_links_are_left_out(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link, other = await make_link(caller), await make_link(caller)
        await land_clicks(pool, caller, other, [FIRST])
        assert (await get_clicks(caller, link)).json()["total"] == 0

    async def test_every_page_of_every_span_agrees_with_the_rows(
        self, caller: Caller, pool: asyncpg.Pool
    ) -> None:
        """Compare with filtering in memory, over random spans and pages."""
        chance = random.Random(7)
        link = await make_link(caller)
        minutes = [chance.randrange(6 * 60) for _ in range(200)]
        moments = sorted(FIRST + timedelta(minutes=minute) for minute in minutes)
        ids = await land_clicks(pool, caller, link, moments)
        newest_first = list(zip(ids, reversed(moments), strict=True))
        for _ in range(60):
            edges = sorted(chance.sample(range(-30, 8 * 60), 2))
            start, end = (FIRST + timedelta(minutes=edge) for edge in edges)
            wanted = [click_id for click_id, moment in newest_first if start <= moment <= end]
            per_page, page = chance.randint(1, 40), chance.randint(1, 6)
            params = {
                "start_date": start.isoformat(),
                "end_date": end.isoformat(),
                "per_page": per_page,
                "page": page,
            }
            body = (await get_clicks(caller, link, **params)).json()
            assert body["total"] == len(wanted), params
            got = [click["id"] for click in body["items"]]
            assert got == wanted[(page - 1) * per_page : page * per_page], params

    async def test_pages_without_dates(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await make_link(caller)
        ids = await land_clicks(pool, caller, link, [FIRST + timedelta(minutes=40 * n) for n in range(25)])
        pages = [(await get_clicks(caller, link, per_page=10, page=n)).json() for n in (1, 2, 3, 4)]
        assert [click["id"] for page in pages for click in page["items"]] == ids
        assert [(page["total"], page["page"], page["per_page"]) for page in pages] == [
            (25, n, 10) for n in (1, 2, 3, 4)
        ]

    @pytest.mark.parametrize(
        ("dates", "total"),
        [
            ({"start_date": "2026-05-01", "end_date": "2026-05-01"}, 2),
            ({"end_date": "2026-04-30"}, 1),
            ({"start_date": "2026-05-02T00:00:00"}, 1),
            ({"start_date": "2026-05-01T23:59:59.999Z", "end_date": "2026-05-01T23:59:59.999Z"}, 1),
            ({"start_date": "2026-05-01T23:59:59.9991Z"}, 1),
            ({"start_date": "2026-05-02T02:00:00+02:00"}, 1),
            ({"start_date": "1066-10-14"}, 4),
            ({"end_date": "1066-10-14"}, 0),
            ({"end_date": "9999-12-31"}, 4),
            ({"start_date": "9999-12-31T23:59:59Z"}, 0),
        ],
    )
    async def test_dates(self, caller: Caller, pool: asyncpg.Pool, dates: dict[str, str], total: int) -> None:
        moments = (
            "2026-04-30T23:59:59.999+00:00",
            "2026-05-01T00:00:00+00:00",
            "2026-05-01T23:59:59.999+00:00",
            "2026-05-02T00:00:00+00:00",
        )
        link = await make_link(caller)
        await land_clicks(pool, caller, link, [datetime.fromisoformat(moment) for moment in moments])
        body = (await get_clicks(caller, link, **dates)).json()
        assert (body["total"], len(body["items"])) == (total, total)

    @pytest.mark.parametrize(
        ("params", "detail"),
        [
            (
                {"start_date": "yesterday", "end_date": "", "page": 0},
                [
                    'page must be a whole number of at least 1, got "0"',
                    'start_date must be an ISO 8601 date or date-time, got "yesterday"',
                    'end_date must be an ISO 8601 date or date-time, got ""',
                ],
            ),
            (
                {"start_date": "2026-05-02", "end_date": "2026-05-01"},
                ['start_date must not be after end_date 2026-05-01, got "2026-05-02"'],
            ),
            (
                {"start_date": "0001-01-01T00:00:00+14:00"},
                ['start_date must be an ISO 8601 date or date-time, got "0001-01-01T00:00:00+14:00"'],
            ),
        ],
    )
    async def test_faulty_parameters(self, caller: Caller, params: dict[str, Any], detail: list[str]) -> None:
        link = await make_link(caller)
        response = await get_clicks(caller, link, **params)
        assert response.status_code == 422
        assert response.json()["detail"].split("; ") == detail
