from __future__ import annotations

from typing import TYPE_CHECKING, Any

from control_plane.core.ids import new_id
from tests.dialects.links.conftest import create

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from tests.dialects.links.conftest import Caller, SetClock


async def insert_clicks(
    pool: asyncpg.Pool, caller: Caller, link: dict[str, Any], counts: tuple[int, int]
) -> None:
    """Let people come to the variants of a link two days before the tests' clock."""
    for variant, count in zip(link["variants"], counts, strict=True):
        await pool.execute(
            "INSERT INTO clicks (tenant_id, id, link_id, variant_id, link_version, reason, is_prefetch,"
            " is_bot, is_conversion, verdict_version, landed_at, is_unique)"
            " SELECT $1, (left(uuid_floor('2026-05-02T12:00Z')::text, 14)"
            " || right(gen_random_uuid()::text, 22))::uuid,"
            " $2, $3, 1, 4, false, false, false, 2, now(), true FROM generate_series(1, $4::integer)",
            caller.account.tenant_id,
            link["id"],
            variant["id"],
            count,
        )


class TestExperiment:
    async def test_of_strangers_and_others(
        self, anonymous: httpx.AsyncClient, stranger: Caller, caller: Caller
    ) -> None:
        link = await create(caller)
        assert (await anonymous.get(f"/links/{link['id']}/experiment")).status_code == 401
        assert (await stranger.api.get(f"/links/{link['id']}/experiment")).status_code == 404

    async def test_says_what_is_missing(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller, auto_winner=True)
        await pool.execute("UPDATE links SET created_at = '2026-05-01'")
        await insert_clicks(pool, caller, link, (30, 40))
        found = (await caller.api.get(f"/links/{link['id']}/experiment")).json()
        assert (found["status"], found["trials"], found["conversions"]) == ("running", 70, 0)
        assert [one["trials"] for one in found["variants"]] == [30, 40]
        assert found["missing"][0] == {
            "reason": "too_few_trials",
            "message": "70 of the 100 visitors that are needed have been counted.",
        }
        assert found["evidence_needed"] == 40
        assert sum(one["chance_to_win"] for one in found["variants"]) == 1

    async def test_without_the_rule_is_off(self, caller: Caller) -> None:
        link = await create(caller)
        found = (await caller.api.get(f"/links/{link['id']}/experiment")).json()
        assert (found["status"], found["decision"]) == ("off", None)

    async def test_begins_anew_with_what_changes_the_comparison(self, caller: Caller) -> None:
        link = await create(caller, auto_winner=True)
        path = f"/links/{link['id']}"
        same = [{"label": "control"}, {"label": "variant_b"}]
        changes: list[tuple[dict[str, Any], int]] = [
            ({"name": "Other"}, 1),
            ({"variants": same}, 1),
            ({"auto_winner_threshold": 50}, 1),
            ({"auto_winner_goal": "revenue_per_visitor"}, 5),
            ({"auto_winner_lag_hours": 48}, 6),
            ({"variants": [{"label": "control", "weight": 40}, {"label": "variant_b", "weight": 60}]}, 7),
        ]
        for change, version in changes:
            assert (await caller.api.patch(path, json=change)).status_code == 200
            found = (await caller.api.get(f"{path}/experiment")).json()
            assert found["experiment_version"] == version, change

    async def test_refuses_a_lag_of_more_than_thirty_days(self, caller: Caller) -> None:
        link = await create(caller)
        answer = await caller.api.patch(f"/links/{link['id']}", json={"auto_winner_lag_hours": 721})
        assert answer.status_code == 422
        assert answer.json() == {
            "detail": "auto_winner_lag_hours must be a whole number from 0 to 720, got 721"
        }


class TestWinner:
    async def test_of_strangers_and_others(
        self, anonymous: httpx.AsyncClient, stranger: Caller, caller: Caller
    ) -> None:
        path, body = f"/links/{(await create(caller))['id']}/winner", {"variant": "control"}
        assert (await anonymous.post(path, json=body)).status_code == 401
        assert (await stranger.api.post(path, json=body)).status_code == 404
        assert (await anonymous.delete(path)).status_code == 401
        assert (await stranger.api.delete(path)).status_code == 404

    async def test_by_hand_and_back(self, caller: Caller, pool: asyncpg.Pool, clock: SetClock) -> None:
        link = await create(caller, auto_winner=True)
        path = f"/links/{link['id']}"
        await pool.execute("DELETE FROM link_outbox")
        answer = await caller.api.post(f"{path}/winner", json={"variant": link["variants"][1]["id"]})
        assert answer.status_code == 201, answer.text
        decision = answer.json()
        assert (decision["outcome"], decision["reason"]) == ("winner", "by_hand")
        assert (decision["variant_label"], decision["link_version"]) == ("variant_b", 2)
        assert decision["decided_by"] == str(caller.account.user_id)
        shown = (await caller.api.get(path)).json()
        assert [one["is_winner"] for one in shown["variants"]] == [False, True]
        found = (await caller.api.get(f"{path}/experiment")).json()
        assert (found["status"], found["decision"]["id"]) == ("winner", decision["id"])
        again = await caller.api.post(f"{path}/winner", json={"variant": "control"})
        assert again.status_code == 409
        clock.advance(minutes=1)
        assert (await caller.api.delete(f"{path}/winner")).status_code == 204
        shown = (await caller.api.get(path)).json()
        assert [one["is_winner"] for one in shown["variants"]] == [False, False]
        found = (await caller.api.get(f"{path}/experiment")).json()
        assert (found["status"], found["experiment_version"], found["decision"]) == ("running", 3, None)
        (kept,) = (await caller.api.get(f"{path}/decisions")).json()["items"]
        assert kept["reverted_by"] == str(caller.account.user_id)
        assert kept["reverted_at"] is not None
        assert await pool.fetchval("SELECT count(*) FROM link_outbox") == 2
        actions = await pool.fetch("SELECT actor_kind, action FROM audit_log WHERE action LIKE 'link.%'")
        assert {tuple(row) for row in actions} == {
            ("api_key", "link.winner"),
            ("api_key", "link.winner.revert"),
        }

    async def test_after_no_winner_is_of_a_new_experiment(self, caller: Caller, pool: asyncpg.Pool) -> None:
        link = await create(caller, auto_winner=True)
        await pool.execute(
            "INSERT INTO winner_decisions (tenant_id, id, link_id, experiment_version, decided_at, outcome,"
            " reason, goal, data) VALUES ($1, $2, $3, 1, now(), 'no_winner', 'undecided',"
            " 'conversion_rate', '{}')",
            caller.account.tenant_id,
            new_id(),
            link["id"],
        )
        found = (await caller.api.get(f"/links/{link['id']}/experiment")).json()
        assert found["status"] == "no_winner"
        answer = await caller.api.post(f"/links/{link['id']}/winner", json={"variant": "control"})
        assert (answer.status_code, answer.json()["experiment_version"]) == (201, 2)

    async def test_of_no_variant(self, caller: Caller) -> None:
        link = await create(caller)
        answer = await caller.api.post(f"/links/{link['id']}/winner", json={"variant": "nobody"})
        assert answer.status_code == 422
        assert (await caller.api.delete(f"/links/{link['id']}/winner")).status_code == 404

    async def test_of_a_geo_link(self, caller: Caller) -> None:
        link = await create(caller, routing_type="geo", geo_rules={"default": "control"})
        answer = await caller.api.post(f"/links/{link['id']}/winner", json={"variant": "control"})
        assert answer.status_code == 409

    async def test_ends_with_other_weights_but_not_with_another_name(self, caller: Caller) -> None:
        link = await create(caller)
        path = f"/links/{link['id']}"
        await caller.api.post(f"{path}/winner", json={"variant": "control"})
        kept = (await caller.api.patch(path, json={"name": "Other"})).json()
        assert [one["is_winner"] for one in kept["variants"]] == [True, False]
        weights = [{"label": "control", "weight": 40}, {"label": "variant_b", "weight": 60}]
        ended = (await caller.api.patch(path, json={"variants": weights})).json()
        assert [one["is_winner"] for one in ended["variants"]] == [False, False]
        (decision,) = (await caller.api.get(f"{path}/decisions")).json()["items"]
        assert decision["reverted_at"] is not None
