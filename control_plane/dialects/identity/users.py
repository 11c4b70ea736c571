"""Users, for those who administer them: find, ban."""

# ruff: noqa: TC002, TC003  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.dialects.bearer import provide_actor
from control_plane.dialects.body import JsonBody
from control_plane.dialects.identity.page import PageQueryIn, PaginationMeta, show_meta
from control_plane.dialects.identity.paths import read_id
from control_plane.dialects.identity.shapes import UserOut, present_user, show_user
from control_plane.dialects.schemas import Line, Moment
from control_plane.dialects.services import Services, services_of
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.tenants.errors import TenantNotFound
from control_plane.domains.usage import service as usage
from control_plane.domains.users import service
from control_plane.domains.users.model import UserFilters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from control_plane.db.pool import Connection


class UserQueryIn(PageQueryIn, frozen=True, kw_only=True):
    """Which users. `q`: part of an address, a name or a number."""

    q: Annotated[str, Meta(max_length=200)] = ""
    tenant_id: uuid.UUID | None = None


class UserListOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users, newest first."""

    data: list[UserOut]
    meta: PaginationMeta


class BanIn(msgspec.Struct, frozen=True, kw_only=True):
    """Why a user is kept out, and until when; for good without a moment."""

    reason: Line
    unblock_date: Moment | None = None


async def provide_user_key(request: Request[Any, Any, Any]) -> tuple[uuid.UUID, uuid.UUID]:
    """Give (tenant id, user id) of the user that a path names: for admins of their tenant, and superadmins.

    Raises RoleRequired, UserNotFound.
    """
    actor = await provide_actor(request)
    actor.require_role(Role.ADMIN)
    user_id = read_id(request, "user_id", UserNotFound())
    if not actor.is_superadmin:
        return actor.user_key[0], user_id
    async with services_of(request).system_transaction() as db:
        return await service.find_tenant(db, user_id), user_id


@get("/users/{user_id:str}")
async def get_user(
    services: NamedDependency[Services], user_key: NamedDependency[tuple[uuid.UUID, uuid.UUID]]
) -> UserOut:
    """Get a user. For admins of their tenant; a superadmin gets any."""
    async with services.snapshot(user_key[0]) as db:
        return await present_user(db, await service.fetch_user(db, *user_key), services.clock())


@get("/users")
async def list_users(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> UserListOut:
    """Search users, newest first. Admins see those of their tenant; a superadmin all, or one tenant's."""
    actor.require_role(Role.ADMIN)
    query = accept(decode_parameters(request.query_params, UserQueryIn))
    tenant_id = query.tenant_id if actor.is_superadmin else actor.user_key[0]
    if query.tenant_id not in {None, tenant_id}:
        raise TenantNotFound
    async with open_view(services, tenant_id) as db:
        page = await service.list_users(db, tenant_id, UserFilters(text=query.q or None), query.request)
        tenant_ids = {user.tenant_id for user in page.items}
        allowances = await usage.fetch_allowances(db, tenant_ids, services.clock())
    users = [show_user(user, allowances[user.tenant_id]) for user in page.items]
    return UserListOut(data=users, meta=show_meta(page))


@post("/users/{user_id:str}/ban", status_code=204, dto=JsonBody[BanIn], return_dto=None)
async def ban_user(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    user_key: NamedDependency[tuple[uuid.UUID, uuid.UUID]],
    data: JSONBody[Decoded[BanIn]],
) -> None:
    """Keep a user out, until `unblock_date` if there is one, and end their sessions at once."""
    body = accept(data)
    async with services.transaction(user_key[0]) as db:
        await service.ban_user(
            db, actor, *user_key, reason=body.reason, until=body.unblock_date, now=services.clock()
        )


@post("/users/{user_id:str}/unban", status_code=204)
async def unban_user(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    user_key: NamedDependency[tuple[uuid.UUID, uuid.UUID]],
) -> None:
    """Let a banned user in again. An addition to the contract."""
    async with services.transaction(user_key[0]) as db:
        await service.unban_user(db, actor, *user_key, services.clock())


@contextlib.asynccontextmanager
async def open_view(services: Services, tenant_id: uuid.UUID | None) -> AsyncIterator[Connection]:
    """Open a transaction to read one tenant, or for a superadmin (None) all of them."""
    opened = services.system_transaction() if tenant_id is None else services.snapshot(tenant_id)
    async with opened as db:
        yield db
