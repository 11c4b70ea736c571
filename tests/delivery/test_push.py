"""Notifications on their way: from the queue to a push service, and into a browser that decrypts them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from control_plane.core.clock import utc_now
from control_plane.core.ids import new_id
from control_plane.core.name_resolver import NameResolver
from control_plane.core.sealing import read_master_key
from control_plane.db.data_keys import SealerSource
from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused
from control_plane.delivery.push import PushSender
from control_plane.delivery.push_transport import GuardedTransport
from control_plane.delivery.retry_after import read_retry_after
from control_plane.domains.messages.model import Push, Template
from control_plane.domains.messages.service import SEALING_CONTEXT
from control_plane.domains.push import service
from control_plane.domains.push.model import SubscriptionKeys
from control_plane.domains.users import store as users
from control_plane.domains.users.model import NewUser
from tests.delivery.browsers import Browser, PushService, read_vapid
from tests.dialects.members import make_tenant

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from control_plane.db.pool import Pool

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
SUBJECT = "mailto:ops@switchyard.test"


@pytest.fixture
async def push_service() -> AsyncIterator[PushService]:
    async with PushService().running() as running:
        yield running


@pytest.fixture
async def owner(pool: Pool) -> tuple[uuid.UUID, uuid.UUID]:
    tenant_id, user_id = await make_tenant(pool, utc_now()), new_id()
    async with pool.acquire() as db, db.transaction():
        assert await users.insert_user(db, tenant_id, user_id, NewUser(email="ann@acme.test"), NOW)
    return tenant_id, user_id


@pytest.fixture
def sealer(pool: Pool) -> SealerSource:
    return SealerSource(pool, read_master_key("00" * 32), utc_now)


@pytest.fixture
def sender(pool: Pool, sealer: SealerSource) -> PushSender:
    return PushSender(pool, sealer, GuardedTransport(NameResolver(), allow_private=True), SUBJECT)


async def subscribe(pool: Pool, owner: tuple[uuid.UUID, uuid.UUID], endpoint: str) -> Browser:
    browser = Browser()
    async with pool.acquire() as db, db.transaction():
        keys = SubscriptionKeys(browser.public, browser.secret)
        await service.subscribe(db, owner, endpoint, keys, user_agent=None, now=NOW)
    return browser


def message(owner: tuple[uuid.UUID, uuid.UUID], **changes: Any) -> Push:
    push = Push(
        tenant_id=owner[0],
        user_id=owner[1],
        template=Template.NEW_SIGN_IN,
        language="es",
        data={"device": "Firefox"},
    )
    return msgspec.structs.replace(push, **changes)


async def count_subscriptions(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM push_subscriptions"))


async def test_the_browser_reads_it(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    browser = await subscribe(pool, owner, f"{push_service.origin}/send/1")
    await sender.send(message(owner), "Acme", NOW)
    (request,) = push_service.requests
    assert request.path == "/send/1"
    shown = json.loads(browser.decrypt(request.body))
    assert shown["title"] == "Nuevo acceso a Acme"
    assert shown["body"].startswith("Se inició sesión en tu cuenta de Acme")
    assert shown["template"] == "new_sign_in"
    assert request.headers["content-encoding"] == "aes128gcm"
    assert request.headers["ttl"] == "86400"
    assert request.headers["urgency"] == "normal"
    assert len(request.headers["topic"]) <= 32


async def test_the_push_service_knows_who_sends(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/send/1")
    await sender.send(message(owner), "Acme", NOW)
    claims, public = read_vapid(push_service.requests[0].headers["authorization"])
    assert claims["aud"] == push_service.origin
    assert claims["sub"] == SUBJECT
    assert NOW.timestamp() < claims["exp"] <= (NOW + timedelta(hours=24)).timestamp()
    assert await pool.fetchval("SELECT public_key FROM vapid_key") == public


async def test_codes_are_urgent_and_soon_of_no_use(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/1")
    await sender.send(message(owner, template=Template.MFA_CODE, data={"code": "1"}), "Acme", NOW)
    assert push_service.requests[0].headers["urgency"] == "high"
    assert push_service.requests[0].headers["ttl"] == "300"


async def test_copies_have_one_topic_and_others_another(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/1")
    for device in ("Firefox", "Firefox", "Chrome"):
        await sender.send(message(owner, data={"device": device}), "Acme", NOW)
    first, second, third = [request.headers["topic"] for request in push_service.requests]
    assert first == second != third


async def test_a_user_without_browsers_is_no_failure(
    sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await sender.send(message(owner), "Acme", NOW)
    assert push_service.requests == []


async def test_several_browsers_get_a_job_each(
    pool: Pool,
    sealer: SealerSource,
    sender: PushSender,
    push_service: PushService,
    owner: tuple[uuid.UUID, uuid.UUID],
) -> None:
    browsers = {f"/{n}": await subscribe(pool, owner, f"{push_service.origin}/{n}") for n in range(3)}
    await sender.send(message(owner), "Acme", NOW)
    assert push_service.requests == []
    for row in await pool.fetch("SELECT payload FROM pgqueuer WHERE entrypoint = 'send_message'"):
        single = msgspec.json.decode(await sealer.open(row["payload"], SEALING_CONTEXT), type=Push)
        await sender.send(single, "Acme", NOW)
    assert {request.path for request in push_service.requests} == browsers.keys()
    for request in push_service.requests:
        assert browsers[request.path].decrypt(request.body)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(
    pool: Pool,
    sender: PushSender,
    push_service: PushService,
    owner: tuple[uuid.UUID, uuid.UUID],
    status: int,
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/1")
    push_service.answers = [(status, {})]
    await sender.send(message(owner), "Acme", NOW)
    assert await count_subscriptions(pool) == 0


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503, 302])
async def test_other_answers_are_a_delay(
    pool: Pool,
    sender: PushSender,
    push_service: PushService,
    owner: tuple[uuid.UUID, uuid.UUID],
    status: int,
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/1")
    push_service.answers = [(status, {"Retry-After": "3600", "Location": f"{push_service.origin}/2"})]
    with pytest.raises(DeliveryDelayed, match=str(status)) as delay:
        await sender.send(message(owner), "Acme", NOW)
    assert delay.value.retry_after == timedelta(hours=1)
    assert await count_subscriptions(pool) == 1
    assert len(push_service.requests) == 1  # no redirect is followed


async def test_too_large_is_not_tried_again(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    await subscribe(pool, owner, f"{push_service.origin}/1")
    push_service.answers = [(413, {})]
    with pytest.raises(DeliveryRefused):
        await sender.send(message(owner), "Acme", NOW)


async def test_a_long_text_is_cut_to_what_every_service_takes(
    pool: Pool, sender: PushSender, push_service: PushService, owner: tuple[uuid.UUID, uuid.UUID]
) -> None:
    browser = await subscribe(pool, owner, f"{push_service.origin}/1")
    await sender.send(message(owner, template=Template.MFA_CODE, data={"code": "ü" * 2000}), "Acme", NOW)
    assert len(push_service.requests[0].body) <= 4096
    assert json.loads(browser.decrypt(push_service.requests[0].body))["body"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:{port}/1",
        "http://localhost:{port}/1",
        "https://10.0.0.1/1",
        "https://169.254.169.254/latest",
        "https://[::1]/1",
        "https://[::ffff:127.0.0.1]/1",
    ],
)
async def test_private_addresses_are_not_connected_to(
    pool: Pool,
    sealer: SealerSource,
    push_service: PushService,
    owner: tuple[uuid.UUID, uuid.UUID],
    endpoint: str,
) -> None:
    guarded = PushSender(pool, sealer, GuardedTransport(NameResolver(), allow_private=False), SUBJECT)
    await subscribe(pool, owner, endpoint.format(port=push_service.origin.rpartition(":")[2]))
    with pytest.raises(DeliveryRefused, match="not public"):
        await guarded.send(message(owner), "Acme", NOW)
    assert push_service.requests == []


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120),
        (" 5 ", 5),
        ("Mon, 04 May 2026 10:21:30 GMT", 60),
        ("999999999999", 86_400),
        ("0", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Mon, 04 May 2026 10:19:30 GMT", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, wait_s: int | None) -> None:
    expected = None if wait_s is None else timedelta(seconds=wait_s)
    assert read_retry_after(value, NOW) == expected
