"""Rows of projects, visits, clicks and conversions, put straight into Postgres."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from control_plane.core.ids import id_floor, new_id
from control_plane.domains.traffic.model import campaign_id

if TYPE_CHECKING:
    import asyncpg

START = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def make_id(number: int, moment: datetime = START) -> uuid.UUID:
    """Make an id of `number` minutes after `moment`; the number keeps ids of one moment apart."""
    return uuid.UUID(int=id_floor(moment + timedelta(minutes=number)).int | (number + 1))


async def add_project(pool: asyncpg.Pool, tenant_id: uuid.UUID, **columns: Any) -> uuid.UUID:
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "Shop",
        "created_at": START,
        "updated_at": START,
    } | columns
    await _insert(pool, "projects", {"tenant_id": tenant_id} | values)
    project_id: uuid.UUID = values["id"]
    return project_id


async def add_campaign(
    pool: asyncpg.Pool, tenant_id: uuid.UUID, project_id: uuid.UUID, name: str
) -> uuid.UUID:
    found = campaign_id(project_id, name)
    await _insert(
        pool, "campaigns", {"tenant_id": tenant_id, "id": found, "project_id": project_id, "name": name}
    )
    return found


async def add_visits(
    pool: asyncpg.Pool, tenant_id: uuid.UUID, project_id: uuid.UUID, *rows: dict[str, Any], first: int = 0
) -> list[str]:
    """Add visits, each a minute after the one before; give their ids, newest first."""
    ids = []
    for number, columns in enumerate(rows, first):
        values = {
            "tenant_id": tenant_id,
            "id": make_id(number),
            "project_id": project_id,
            "is_unique": True,
            "is_bot": False,
            "verdict_version": 1,
            "landed_at": START,
            "landing_url": "https://shop.example/",
        }
        await _insert(pool, "visits", values | columns)
        ids.append(str((values | columns)["id"]))
    return ids[::-1]


async def add_clicks(
    pool: asyncpg.Pool, tenant_id: uuid.UUID, *rows: dict[str, Any], first: int = 0
) -> list[str]:
    """Add clicks as `add_visits` adds visits."""
    ids = []
    for number, columns in enumerate(rows, first):
        values = {
            "tenant_id": tenant_id,
            "id": make_id(number),
            "is_prefetch": False,
            "is_bot": False,
            "is_conversion": False,
            "verdict_version": 1,
            "landed_at": START,
        }
        await _insert(pool, "clicks", values | columns)
        ids.append(str((values | columns)["id"]))
    return ids[::-1]


async def add_conversions(
    pool: asyncpg.Pool,
    tenant_id: uuid.UUID,
    project_id: uuid.UUID,
    kind: int,
    *rows: dict[str, Any],
    first: int = 0,
) -> list[str]:
    """Add conversions of a kind as `add_visits` adds visits."""
    ids = []
    for number, columns in enumerate(rows, first):
        values = {
            "tenant_id": tenant_id,
            "id": uuid.UUID(int=make_id(number).int | kind << 32),
            "project_id": project_id,
            "kind": kind,
            "external_id": f"X-{number}",
            "status": "completed",
            "currency": "USD",
            "amount_minor": 1990,
            "source": "postback",
            "counted_at": START,
            "landed_at": START,
            "updated_at": START,
        }
        await _insert(pool, "conversions", values | columns)
        ids.append(str((values | columns)["id"]))
    return ids[::-1]


async def _insert(pool: asyncpg.Pool, table: str, columns: dict[str, Any]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    await pool.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
        *columns.values(),
    )
