"""Web push: browsers that show their user's messages."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import base64
from typing import Annotated

import msgspec
from litestar import MediaType, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.dialects.body import JsonBody
from control_plane.dialects.services import Services
from control_plane.domains.push import service
from control_plane.domains.push.endpoints import read_subscription
from control_plane.domains.push.sender_key import fetch_public_key
from control_plane.domains.sessions.model import Device

Endpoint = Annotated[str, Meta(min_length=1, max_length=2048)]


class PushKeysIn(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription's keys, as the browser's `toJSON()` gives them."""

    p256dh: Annotated[str, Meta(min_length=1, max_length=128)]
    auth: Annotated[str, Meta(min_length=1, max_length=64)]
    user_agent: Annotated[str, Meta(max_length=512)] | None = None


class SubscribeIn(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's subscription."""

    endpoint: Endpoint
    keys: PushKeysIn


class UnsubscribeIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which subscription to remove; without an endpoint, all of the caller's."""

    endpoint: Endpoint | None = None


class PushKeyOut(msgspec.Struct, frozen=True):
    """What browsers subscribe with, as `applicationServerKey`."""

    public_key: str


@post(
    "/auth/push/subscribe",
    status_code=201,
    media_type=MediaType.TEXT,
    dto=JsonBody[SubscribeIn],
    return_dto=None,
)
async def subscribe(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    device: NamedDependency[Device],
    data: JSONBody[Decoded[SubscribeIn]],
) -> None:
    """Have the caller's messages shown in a browser. Doing so again replaces its keys.

    A user has 20 browsers at most; beyond that the one that subscribed longest ago is forgotten.
    """
    given = accept(data)
    keys = read_subscription(
        given.endpoint,
        given.keys.p256dh,
        given.keys.auth,
        allow_private_targets=services.settings.allow_private_targets,
    )
    user_agent = given.keys.user_agent or device.user_agent
    async with services.transaction(actor.user_key[0]) as db:
        await service.subscribe(
            db, actor.user_key, given.endpoint, keys, user_agent=user_agent, now=services.clock()
        )


@post("/auth/push/unsubscribe", status_code=204, dto=JsonBody[UnsubscribeIn], return_dto=None)
async def unsubscribe(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[UnsubscribeIn]],
) -> None:
    """Have no more messages shown in a browser of the caller's; without an endpoint, in none of them."""
    endpoint = accept(data).endpoint
    async with services.transaction(actor.user_key[0]) as db:
        await service.unsubscribe(db, actor.user_key, endpoint)


@get("/auth/push/key")
async def show_push_key(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> PushKeyOut:
    """Show the public key that a browser subscribes with. It never changes."""
    async with services.transaction(actor.user_key[0]) as db:
        public = await fetch_public_key(db, services.sealer, services.clock())
    return PushKeyOut(base64.urlsafe_b64encode(public).rstrip(b"=").decode())
