from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from control_plane.app import create_app
from tests.delivery.browsers import Browser, decode, encode
from tests.dialects.links.conftest import running
from tests.dialects.members import client_of, make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock
    from tests.dialects.members import Member

ENDPOINT = "https://push.example.com/send/abc"


async def subscribe(member: Member, endpoint: str = ENDPOINT, browser: Browser | None = None) -> Browser:
    browser = browser or Browser()
    response = await member.api.post("/v1/auth/push/subscribe", json=browser.subscription(endpoint))
    assert response.status_code == 201, response.text
    assert response.content == b""
    return browser


async def list_endpoints(pool: asyncpg.Pool, member: Member) -> list[str]:
    rows = await pool.fetch(
        "SELECT endpoint FROM push_subscriptions WHERE user_id = $1 ORDER BY created_at, id", member.user_id
    )
    return [row["endpoint"] for row in rows]


class TestSubscribe:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        response = await anonymous.post("/v1/auth/push/subscribe", json=Browser().subscription(ENDPOINT))
        assert response.status_code == 401

    async def test_keeps_the_keys_of_the_callers_browser(self, pool: asyncpg.Pool, viewer: Member) -> None:
        browser = await subscribe(viewer)
        (row,) = await pool.fetch("SELECT * FROM push_subscriptions")
        assert (row["tenant_id"], row["user_id"]) == (viewer.tenant_id, viewer.user_id)
        assert (row["p256dh"], row["auth"]) == (browser.public, browser.secret)

    async def test_keys_may_be_padded(self, pool: asyncpg.Pool, member: Member) -> None:
        browser = Browser()
        body = browser.subscription(ENDPOINT)
        body["keys"] = {"p256dh": f"{body['keys']['p256dh']}=", "auth": f"{body['keys']['auth']}=="}
        response = await member.api.post("/v1/auth/push/subscribe", json=body)
        assert response.status_code == 201
        assert await pool.fetchval("SELECT auth FROM push_subscriptions") == browser.secret

    async def test_the_user_agent_is_what_is_given_or_what_the_request_has(
        self, pool: asyncpg.Pool, member: Member
    ) -> None:
        body = Browser().subscription(ENDPOINT)
        await member.api.post("/v1/auth/push/subscribe", json=body, headers={"User-Agent": "Firefox"})
        assert await pool.fetchval("SELECT user_agent FROM push_subscriptions") == "Firefox"
        body["keys"]["user_agent"] = "Chrome"
        await member.api.post("/v1/auth/push/subscribe", json=body)
        assert await pool.fetchval("SELECT user_agent FROM push_subscriptions") == "Chrome"

    async def test_again_replaces_the_keys(self, pool: asyncpg.Pool, member: Member) -> None:
        await subscribe(member)
        second = await subscribe(member)
        assert await pool.fetchval("SELECT p256dh FROM push_subscriptions") == second.public

    async def test_a_browser_belongs_to_whoever_subscribed_last(
        self, pool: asyncpg.Pool, member: Member, viewer: Member
    ) -> None:
        await subscribe(member)
        await subscribe(viewer)
        assert await list_endpoints(pool, member) == []
        assert await list_endpoints(pool, viewer) == [ENDPOINT]

    async def test_another_tenants_subscription_stays(
        self, pool: asyncpg.Pool, member: Member, stranger: Member
    ) -> None:
        await subscribe(member)
        await subscribe(stranger)
        assert await list_endpoints(pool, member) == [ENDPOINT]

    async def test_the_oldest_gives_way_beyond_twenty(
        self, pool: asyncpg.Pool, member: Member, clock: SetClock
    ) -> None:
        for number in range(21):
            clock.advance(seconds=1)
            await subscribe(member, f"{ENDPOINT}/{number}")
        assert await list_endpoints(pool, member) == [f"{ENDPOINT}/{number}" for number in range(1, 21)]

    async def test_no_more_than_twenty_at_once_either(self, pool: asyncpg.Pool, member: Member) -> None:
        await asyncio.gather(*(subscribe(member, f"{ENDPOINT}/{number}") for number in range(30)))
        assert len(await list_endpoints(pool, member)) == 20

    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://push.example.com/x",
            "http://127.0.0.1/x",
            "ftp://push.example.com/x",
            "//push.example.com/x",
            "push.example.com",
            "https://",
            "https://user@push.example.com/x",
            "https://push.example.com/ x",
            "https://push.example.com/x#y",
            "https://push.example.com/ü",
            "https://push.example.com:port/",
            "https://[::1/",
            "https://push.example.com/" + "x" * 2048,
            "",
        ],
    )
    async def test_an_endpoint_that_is_none_is_refused(
        self, pool: asyncpg.Pool, member: Member, endpoint: str
    ) -> None:
        response = await member.api.post("/v1/auth/push/subscribe", json=Browser().subscription(endpoint))
        assert response.status_code == 422
        assert [fault["field"] for fault in response.json()["errors"]] == ["endpoint"]
        assert await list_endpoints(pool, member) == []

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "!",
            encode(b"\x04" + b"\x01" * 64),  # not on the curve
            encode(b"\x02" + Browser().public[1:33]),  # compressed
            encode(Browser().public[:64]),
            encode(Browser().public + b"\0"),
            encode(b"\x04" + b"\0" * 64),
        ],
    )
    async def test_a_key_that_is_no_point_is_refused(self, member: Member, key: str) -> None:
        body = Browser().subscription(ENDPOINT)
        body["keys"]["p256dh"] = key
        response = await member.api.post("/v1/auth/push/subscribe", json=body)
        assert response.status_code == 422
        assert [fault["field"] for fault in response.json()["errors"]] == ["keys.p256dh"]

    @pytest.mark.parametrize("secret", ["", "A", encode(b"x" * 15), encode(b"x" * 17), "+" * 22])
    async def test_a_secret_that_is_none_is_refused_and_not_repeated(
        self, member: Member, secret: str
    ) -> None:
        body = Browser().subscription(ENDPOINT)
        body["keys"]["auth"] = secret
        response = await member.api.post("/v1/auth/push/subscribe", json=body)
        assert response.status_code == 422
        assert [fault["field"] for fault in response.json()["errors"]] == ["keys.auth"]

    async def test_every_fault_is_told(self, member: Member) -> None:
        body = {"endpoint": "http://x.test", "keys": {"p256dh": "x", "auth": "y"}}
        response = await member.api.post("/v1/auth/push/subscribe", json=body)
        assert len(response.json()["errors"]) == 3

    async def test_this_machine_will_do_where_it_is_allowed(
        self, pool: asyncpg.Pool, settings: Settings, clock: SetClock
    ) -> None:
        app = create_app(msgspec.structs.replace(settings, allow_private_targets=True), clock)
        async with running(app):
            member = await make_member(app, pool, settings, clock())
            await subscribe(member, "http://127.0.0.1:9000/x")
            refused = Browser().subscription("http://push.example.com/x")
            assert (await member.api.post("/v1/auth/push/subscribe", json=refused)).status_code == 422


class TestUnsubscribe:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.post("/v1/auth/push/unsubscribe", json={})).status_code == 401

    @pytest.mark.parametrize("body", [{"endpoint": ENDPOINT}, {}, {"endpoint": None}])
    async def test_another_ones_subscription_stays(
        self, pool: asyncpg.Pool, member: Member, viewer: Member, stranger: Member, body: dict[str, Any]
    ) -> None:
        await subscribe(member)
        for other in (viewer, stranger):
            assert (await other.api.post("/v1/auth/push/unsubscribe", json=body)).status_code == 204
        assert await list_endpoints(pool, member) == [ENDPOINT]

    async def test_removes_the_one_that_is_named(self, pool: asyncpg.Pool, member: Member) -> None:
        await subscribe(member)
        await subscribe(member, f"{ENDPOINT}/2")
        for _again in range(2):
            response = await member.api.post("/v1/auth/push/unsubscribe", json={"endpoint": ENDPOINT})
            assert response.status_code == 204
            assert await list_endpoints(pool, member) == [f"{ENDPOINT}/2"]

    async def test_without_an_endpoint_it_removes_all(self, pool: asyncpg.Pool, member: Member) -> None:
        await subscribe(member)
        await subscribe(member, f"{ENDPOINT}/2")
        assert (await member.api.post("/v1/auth/push/unsubscribe", json={})).status_code == 204
        assert await list_endpoints(pool, member) == []


class TestKey:
    async def test_anonymous(self, anonymous: httpx.AsyncClient) -> None:
        assert (await anonymous.get("/v1/auth/push/key")).status_code == 401

    async def test_is_the_same_for_everyone_for_good(
        self, pool: asyncpg.Pool, settings: Settings, clock: SetClock, member: Member, stranger: Member
    ) -> None:
        answers = await asyncio.gather(*(one.api.get("/v1/auth/push/key") for one in [member, stranger] * 5))
        (key,) = {answer.json()["public_key"] for answer in answers}
        assert (len(decode(key)), decode(key)[0]) == (65, 4)
        restarted = create_app(settings, clock)
        async with running(restarted):
            api = client_of(restarted, dict(member.api.headers))
            assert (await api.get("/v1/auth/push/key")).json() == {"public_key": key}
        assert await pool.fetchval("SELECT public_key FROM vapid_key") == decode(key)

    async def test_the_private_key_is_sealed(self, pool: asyncpg.Pool, member: Member) -> None:
        await member.api.get("/v1/auth/push/key")
        sealed = await pool.fetchval("SELECT private_key FROM vapid_key")
        assert len(sealed) == 2 + 12 + 32 + 16
