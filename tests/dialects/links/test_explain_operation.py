"""Dry runs of a link: which rule decides, and what each says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.links.conftest import create

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import Caller

ORDER = ["active", "winner", "geo", "geo_default", "sticky", "fingerprint", "weight"]
GEO = {"routing_type": "geo", "geo_rules": {"DE": "variant_b", "default": "control"}}
PAUSED = [
    {"label": "control", "destination_url": "https://example.com/control", "weight": 100},
    {"label": "variant_b", "destination_url": "https://example.com/variant-b", "weight": 0},
]


async def explain(caller: Caller, link: dict[str, Any], **params: str) -> dict[str, Any]:
    response = await caller.api.get(f"/links/{link['id']}/explain", params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert [one["step"] for one in found["steps"]] == ORDER
    deciding = [one["step"] for one in found["steps"][1:] if one["applies"]]
    assert deciding == ([found["decided_by"]] if found["decided_by"] else [])
    return found


def why(found: dict[str, Any], step: str) -> str:
    return str(next(one["why"] for one in found["steps"] if one["step"] == step))


def chances(found: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in found["variants"]}


async def test_of_strangers_and_others(
    anonymous: httpx.AsyncClient, caller: Caller, stranger: Caller
) -> None:
    path = f"/links/{(await create(caller))['id']}/explain"
    assert (await anonymous.get(path)).status_code == 401
    assert (await stranger.api.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("changes", "params", "decided_by", "expected"),
    [
        ({}, {}, "weight", {"control": 0.5, "variant_b": 0.5}),
        ({"stickiness": "fingerprint"}, {}, "fingerprint", {"control": 0.5, "variant_b": 0.5}),
        ({"stickiness": "cookie"}, {"variant": "variant_b"}, "sticky", {"variant_b": 1}),
        ({"stickiness": "cookie", "variants": PAUSED}, {"variant": "variant_b"}, "weight", {"control": 1}),
        ({"stickiness": "none"}, {"variant": "variant_b"}, "weight", {"control": 0.5, "variant_b": 0.5}),
        (GEO, {"country": "DE"}, "geo", {"variant_b": 1}),
        (GEO, {"country": "FR", "variant": "variant_b"}, "geo_default", {"control": 1}),
        (GEO, {}, "geo_default", {"control": 1}),
    ],
    ids=["drawn", "fingerprint", "sticky", "paused", "no-cookie", "geo", "geo-default", "geo-unknown"],
)
async def test_each_rule(
    caller: Caller, changes: dict[str, Any], params: dict[str, str], decided_by: str, expected: dict[str, int]
) -> None:
    found = await explain(caller, await create(caller, **changes), **params)
    assert found["decided_by"] == decided_by
    assert chances(found) == expected


async def test_a_paused_variant_is_named_in_the_reason(caller: Caller) -> None:
    link = await create(caller, stickiness="cookie", variants=PAUSED)
    found = await explain(caller, link, variant=link["variants"][1]["id"])
    assert why(found, "sticky") == 'The cookie names "variant_b", which is paused: its weight is 0.'


async def test_a_winner_comes_first(caller: Caller) -> None:
    link = await create(caller, stickiness="cookie")
    await caller.api.post(f"/links/{link['id']}/winner", json={"variant": "variant_b"})
    found = await explain(caller, link, variant="control")
    assert (found["decided_by"], chances(found), found["version"]) == ("winner", {"variant_b": 1}, 2)
    assert why(found, "sticky") == "A rule before this one has decided."


async def test_a_link_that_is_off_leads_nowhere(caller: Caller) -> None:
    found = await explain(caller, await create(caller, is_active=False))
    assert (found["decided_by"], found["variants"]) == (None, [])
    assert found["steps"][0]["why"] == "The link is switched off: visitors get 410 Gone."


async def test_a_deleted_link_is_not_found(caller: Caller) -> None:
    path = f"/links/{(await create(caller))['id']}"
    await caller.api.delete(path)
    assert (await caller.api.get(f"{path}/explain")).status_code == 404


async def test_the_verdict_on_a_user_agent(caller: Caller) -> None:
    link = await create(caller)
    assert (await explain(caller, link))["is_bot"] is None
    found = await explain(caller, link, user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    assert (found["is_bot"], found["bot_reason"]) == (True, "crawler_list")
    found = await explain(caller, link, user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
    assert (found["is_bot"], found["bot_reason"]) == (False, None)


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"country": "XX"}, 'country must be an ISO 3166-1 alpha-2 code such as DE, got "XX"'),
        ({"variant": "c"}, 'variant must be the label or the id of a variant of the link, got "c"'),
    ],
    ids=["country", "variant"],
)
async def test_refuses_what_there_is_not(caller: Caller, params: dict[str, str], detail: str) -> None:
    response = await caller.api.get(f"/links/{(await create(caller))['id']}/explain", params=params)
    assert (response.status_code, response.json()) == (422, {"detail": detail})


async def test_counts_nothing(caller: Caller, pool: asyncpg.Pool) -> None:
    await explain(caller, await create(caller))
    assert await pool.fetchval("SELECT count(*) FROM clicks") == 0
