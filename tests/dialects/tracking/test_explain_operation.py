"""Clicks explained by their link as it was when they were served."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.links.conftest import create, make_caller
from tests.dialects.tracking.conftest import make_holder
from tests.dialects.tracking.rows import add_clicks, add_project, make_id

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import Caller, SetClock
    from tests.dialects.tracking.conftest import KeyHolder


@pytest.fixture
async def owner(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Caller:
    """A user with a key of the links contract."""
    return await make_caller(app, pool, settings, clock())


@pytest.fixture
async def reader(app: Any, pool: asyncpg.Pool, clock: SetClock, owner: Caller) -> KeyHolder:
    """A key of that user's tenant."""
    return await make_holder(app, pool, clock(), tenant_id=owner.account.tenant_id)


async def explain(
    pool: asyncpg.Pool, reader: KeyHolder, link: dict[str, Any], **columns: Any
) -> dict[str, Any]:
    click = {
        "link_id": uuid.UUID(link["id"]),
        "variant_id": uuid.UUID(link["variants"][0]["id"]),
        "link_version": 1,
        "reason": 4,
        "country": "DE",
    }
    (click_id,) = await add_clicks(pool, reader.tenant_id, click | columns)
    response = await reader.api.get(f"/v1/clicks/{click_id}/explain")
    assert response.status_code == 200, response.text
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    data: dict[str, Any] = response.json()["data"]
    return data


async def test_others_are_not_found(
    pool: asyncpg.Pool, anonymous: httpx.AsyncClient, holder: KeyHolder, foreign_holder: KeyHolder
) -> None:
    (click_id,) = await add_clicks(pool, holder.tenant_id, {})
    assert (await anonymous.get(f"/v1/clicks/{click_id}/explain")).status_code == 401
    for missing in (click_id, make_id(7), "x"):
        assert (await foreign_holder.api.get(f"/v1/clicks/{missing}/explain")).status_code == 404


async def test_shows_every_field(pool: asyncpg.Pool, owner: Caller, reader: KeyHolder) -> None:
    link = await create(owner)
    data = await explain(pool, reader, link, is_bot=True, bot_reason="datacenter")
    variants = [
        {
            "id": one["id"],
            "label": one["label"],
            "destination_url": one["destination_url"],
            "weight": 50,
            "share": 0.5,
        }
        for one in link["variants"]
    ]
    assert data == {
        "click_id": str(make_id(0)),
        "link_id": link["id"],
        "slug": link["slug"],
        "decided_by": "weight",
        "explanation": 'The variant was drawn by weight: "control" had 50 % of new visitors.',
        "link_version": 1,
        "changed_at": "2026-05-04T10:20:30Z",
        "variant": variants[0],
        "variants": variants,
        "country": "DE",
        "is_prefetch": False,
        "is_bot": True,
        "bot_reason": "datacenter",
        "verdict_version": 1,
        "is_conversion": False,
        "created_at": "2026-05-01T09:30:00Z",
    }


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (1, "winner", '"control" had been declared the winner'),
        (2, "geo", 'geo rules send that country to "control"'),
        (3, "geo_default", 'came from DE, for which the link had no geo rule: "control"'),
        (4, "weight", 'drawn by weight: "control" had 50 %'),
        (5, "sticky", 'cookie named "control"'),
        (6, "fingerprint", 'fingerprint chose "control"'),
    ],
    ids=["winner", "geo", "geo_default", "weight", "sticky", "fingerprint"],
)
async def test_each_reason(  # noqa: PLR0913, PLR0917  fixtures and cases
    pool: asyncpg.Pool, owner: Caller, reader: KeyHolder, reason: int, code: str, words: str
) -> None:
    data = await explain(pool, reader, await create(owner), reason=reason)
    assert data["decided_by"] == code
    assert words in data["explanation"]


async def test_by_the_version_of_its_time(pool: asyncpg.Pool, owner: Caller, reader: KeyHolder) -> None:
    link = await create(owner)
    path = f"/links/{link['id']}"
    for weight in (70, 90):
        variants = [{"label": "control", "weight": weight}, {"label": "variant_b", "weight": 100 - weight}]
        assert (await owner.api.patch(path, json={"variants": variants})).status_code == 200
    await owner.api.post(f"{path}/winner", json={"variant": "variant_b"})
    await owner.api.delete(path)
    kept = await pool.fetch("SELECT version, record FROM link_versions ORDER BY version")
    assert [row["version"] for row in kept] == [1, 2, 3, 4, 5]
    shares = {}
    for version in (1, 2, 3, 4):
        click = {"id": make_id(version), "link_version": version}
        data = await explain(pool, reader, link, **click)
        shares[version] = [one["share"] for one in data["variants"]]
    assert shares == {1: [0.5, 0.5], 2: [0.7, 0.3], 3: [0.9, 0.1], 4: [0, 1]}


async def test_a_geo_link_has_no_shares(pool: asyncpg.Pool, owner: Caller, reader: KeyHolder) -> None:
    link = await create(owner, routing_type="geo", geo_rules={"DE": "control", "default": "variant_b"})
    data = await explain(pool, reader, link, reason=2)
    assert [one["share"] for one in data["variants"]] == [None, None]


async def test_a_version_that_is_not_kept(pool: asyncpg.Pool, owner: Caller, reader: KeyHolder) -> None:
    link = await create(owner)
    await pool.execute("DELETE FROM link_versions")
    data = await explain(pool, reader, link)
    assert data["explanation"].endswith("The link's version 1 is not kept.")
    assert (data["changed_at"], data["variant"], data["variants"]) == (None, None, None)


async def test_a_click_on_an_element(pool: asyncpg.Pool, holder: KeyHolder) -> None:
    project_id = await add_project(pool, holder.tenant_id)
    (click_id,) = await add_clicks(pool, holder.tenant_id, {"project_id": project_id})
    data = (await holder.api.get(f"/v1/clicks/{click_id}/explain")).json()["data"]
    assert (data["decided_by"], data["link_version"], data["variants"]) == (None, None, None)
