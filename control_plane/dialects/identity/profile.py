"""Users about themselves: profile, balance, picture."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from datetime import date
from typing import Annotated, Final

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.web_addresses import find_broken_rule
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.shapes import UserOut, present_user, user_fields
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.usage import service as usage
from control_plane.domains.usage.model import RenderAllowance
from control_plane.domains.users import service
from control_plane.domains.users.avatars import LIBRARY
from control_plane.domains.users.errors import AvatarNotFound
from control_plane.domains.users.model import Gender, ProfileChanges, User

AVATARS_PATH: Final = "/v1/avatars"
DRAWING_HEADERS: Final = {
    "Cache-Control": "public, max-age=86400, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class ProfileIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; null clears."""

    full_name: Line | UnsetType | None = UNSET
    slogan: Line | UnsetType | None = UNSET
    about_me: Annotated[str, Meta(max_length=2000)] | UnsetType | None = UNSET
    company_name: Line | UnsetType | None = UNSET
    website_name: Line | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET
    gender: Gender | UnsetType | None = UNSET
    email_tell_me: bool | UnsetType = UNSET
    sms_tell_me: bool | UnsetType = UNSET
    push_tell_me: bool | UnsetType = UNSET
    telegram_tell_me: bool | UnsetType = UNSET


class ProfileOut(UserOut, frozen=True, kw_only=True):
    """The caller, with what only they themselves are shown: an addition to the contract."""

    role: str
    language: str
    avatar_id: uuid.UUID | None
    slogan: str | None
    about_me: str | None
    company_name: str | None
    website_name: str | None
    birth_date: date | None
    gender: Gender | None
    email_tell_me: bool
    sms_tell_me: bool
    push_tell_me: bool
    telegram_tell_me: bool


class BalanceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller has, in minor units of `currency`, and what is left to their tenant today."""

    balance_minor: int
    affiliate_balance_minor: int
    currency: str
    daily_remain_render_count: int
    parallel_rendering_ceiling: int


class AvatarIn(msgspec.Struct, frozen=True, kw_only=True):
    """A picture: either one of the built-in ones or the address of another."""

    avatar_id: uuid.UUID | None = None
    avatar_url: Annotated[str, Meta(max_length=2048)] | None = None


class AvatarOut(msgspec.Struct, frozen=True, kw_only=True):
    """A built-in picture."""

    id: uuid.UUID
    name: str
    url: str


class AvatarListOut(msgspec.Struct, frozen=True):
    """Every built-in picture."""

    data: list[AvatarOut]


def show_profile(user: User, allowance: RenderAllowance) -> ProfileOut:
    """Shape the caller."""
    own = {name: getattr(user, name) for name in ProfileOut.__struct_fields__ if hasattr(user, name)}
    return ProfileOut(**(own | user_fields(user, allowance)))


@get("/users/me")
async def get_me(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> ProfileOut:
    """Get the caller's profile."""
    tenant_id, user_id = actor.user_key
    async with services.snapshot(tenant_id) as db:
        user = await service.fetch_user(db, tenant_id, user_id)
        return show_profile(user, await usage.fetch_allowance(db, tenant_id, services.clock()))


@patch("/users/me", dto=JsonBody[ProfileIn], return_dto=None)
async def update_me(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[ProfileIn]]
) -> ProfileOut:
    """Change the caller's profile. Address, number and password have operations of their own."""
    changes, now = ProfileChanges(**msgspec.structs.asdict(accept(data))), services.clock()
    async with services.transaction(actor.user_key[0]) as db:
        user = await service.change_profile(db, actor, changes, now)
        return show_profile(user, await usage.fetch_allowance(db, user.tenant_id, now))


@get("/users/me/balance")
async def get_balance(services: NamedDependency[Services], actor: NamedDependency[Actor]) -> BalanceOut:
    """Get the caller's balances, and how many redirects their tenant has left today."""
    tenant_id, user_id = actor.user_key
    async with services.snapshot(tenant_id) as db:
        user = await service.fetch_user(db, tenant_id, user_id)
        allowance = await usage.fetch_allowance(db, tenant_id, services.clock())
    return BalanceOut(
        balance_minor=user.balance_minor,
        affiliate_balance_minor=user.affiliate_balance_minor,
        currency=user.currency,
        daily_remain_render_count=allowance.left_today,
        parallel_rendering_ceiling=allowance.at_once,
    )


@post("/users/me/avatar", status_code=200, dto=JsonBody[AvatarIn], return_dto=None)
async def pick_avatar(
    services: NamedDependency[Services], actor: NamedDependency[Actor], data: JSONBody[Decoded[AvatarIn]]
) -> UserOut:
    """Give the caller a picture: `avatar_id` of one of GET /v1/avatars, or `avatar_url`, an https address."""
    avatar_id, avatar_url = read_avatar(accept(data), services.settings.api_url)
    now = services.clock()
    async with services.transaction(actor.user_key[0]) as db:
        return await present_user(db, await service.pick_avatar(db, actor, avatar_id, avatar_url, now), now)


@get("/avatars")
async def list_avatars(services: NamedDependency[Services]) -> AvatarListOut:
    """List the built-in pictures."""
    return AvatarListOut(
        [
            AvatarOut(id=avatar.id, name=avatar.name, url=address_of(avatar.id, services.settings.api_url))
            for avatar in LIBRARY.values()
        ]
    )


@get("/avatars/{drawing:str}", media_type="image/svg+xml")
async def get_avatar(drawing: FromPath[str]) -> Response[str]:
    """Get a built-in picture, by its id with .svg at the end."""
    for avatar in LIBRARY.values():
        if drawing == f"{avatar.id}.svg":
            return Response(avatar.svg, media_type="image/svg+xml", headers=DRAWING_HEADERS)
    raise AvatarNotFound


def read_avatar(body: AvatarIn, api_url: str) -> tuple[uuid.UUID | None, str]:
    """Give (id, URL) of the picture that a body names. Raises Invalid."""
    if (body.avatar_id is None) == (body.avatar_url is None):
        raise Invalid([Fault("avatar_id", "or avatar_url must be given, and not both")])
    if body.avatar_id is not None:
        if body.avatar_id not in LIBRARY:
            rule = f"must be the id of one of GET {AVATARS_PATH}"
            raise Invalid([Fault("avatar_id", rule, body.avatar_id)])
        return body.avatar_id, address_of(body.avatar_id, api_url)
    assert body.avatar_url is not None
    if (broken := find_broken_rule(body.avatar_url)) is not None:
        raise Invalid([Fault("avatar_url", broken, body.avatar_url)])
    return None, body.avatar_url


def address_of(avatar_id: uuid.UUID, api_url: str) -> str:
    """Give the URL of a built-in picture."""
    return f"{api_url}{AVATARS_PATH}/{avatar_id}.svg"
