"""Users of the caller's tenant: list, read, add, change, delete. Managers read, admins change."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor, Role
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.core.email_addresses import LONGEST, read_email
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects.body import JsonBody
from control_plane.dialects.growth.page import PageOut, PageQueryIn, show_page
from control_plane.dialects.growth.paths import read_number
from control_plane.dialects.growth.user_shapes import UserOut, show_user
from control_plane.dialects.schemas import Line
from control_plane.dialects.services import Services
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.tenants import service as tenants
from control_plane.domains.users import service
from control_plane.domains.users.model import MemberChanges, NewUser, UserFilters

if TYPE_CHECKING:
    from control_plane.domains.passwords.service import Passwords

RoleName = Literal["admin", "manager", "analyst", "viewer"]
Address = Annotated[str, Meta(max_length=LONGEST)]


class UserQueryIn(PageQueryIn, frozen=True, kw_only=True):
    """Which users."""

    role: RoleName | None = None
    is_active: bool | None = None


class UserCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A user to add."""

    email: Address
    password: Annotated[str, Meta(max_length=1024)]
    full_name: Line | None = None
    role: RoleName = "viewer"


class UserPatchIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; null clears. A new `email` or `password` needs that the caller signed in lately."""

    email: Address | UnsetType = UNSET
    password: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    full_name: Line | UnsetType | None = UNSET
    role: RoleName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


@get("/users")
async def list_users(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> PageOut[UserOut]:
    """List the users of the caller's tenant, newest first. For managers."""
    actor.require_role(Role.MANAGER)
    query = accept(decode_parameters(request.query_params, UserQueryIn))
    filters = UserFilters(role=Role(query.role) if query.role else None, is_active=query.is_active)
    tenant_id = actor.user_key[0]
    async with services.snapshot(tenant_id) as db:
        page = await service.list_users(db, tenant_id, filters, query.request)
        number = (await tenants.fetch_tenant(db, tenant_id)).number
    return show_page(page, [show_user(user, number) for user in page.items])


@get("/users/{user_id:str}")
async def get_user(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> UserOut:
    """Get a user of the caller's tenant. For managers."""
    actor.require_role(Role.MANAGER)
    tenant_id, number = actor.user_key[0], read_number(request, "user_id", UserNotFound())
    async with services.snapshot(tenant_id) as db:
        user = await service.fetch_user(db, tenant_id, await service.resolve_number(db, tenant_id, number))
        return show_user(user, (await tenants.fetch_tenant(db, tenant_id)).number)


@post("/users", status_code=201, dto=JsonBody[UserCreateIn], return_dto=None)
async def create_user(
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[UserCreateIn]],
) -> UserOut:
    """Add a user to the caller's tenant. For admins."""
    actor.require_role(Role.ADMIN)
    body, tenant_id = accept(data), actor.user_key[0]
    email = settle_credentials(body.email, body.password, services.passwords)
    assert email is not UNSET
    new = NewUser(
        email=email,
        full_name=body.full_name,
        role=Role(body.role),
        password_hash=await services.passwords.hash(body.password),
    )
    async with services.transaction(tenant_id) as db:
        user = await service.create_member(db, actor, new, services.clock())
        return show_user(user, (await tenants.fetch_tenant(db, tenant_id)).number)


@patch("/users/{user_id:str}", dto=JsonBody[UserPatchIn], return_dto=None)
async def update_user(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[UserPatchIn]],
) -> UserOut:
    """Change a user of the caller's tenant. For admins.

    A new address counts as not verified. A new address or password, and `is_active` false, end the
    user's sessions. The last active admin stays one.
    """
    actor.require_role(Role.ADMIN)
    tenant_id, number = actor.user_key[0], read_number(request, "user_id", UserNotFound())
    body = accept(data)
    changes = MemberChanges(
        email=settle_credentials(body.email, body.password, services.passwords),
        full_name=body.full_name,
        role=UNSET if body.role is UNSET else Role(body.role),
        is_active=body.is_active,
        password_hash=UNSET if body.password is UNSET else await services.passwords.hash(body.password),
    )
    async with services.transaction(tenant_id) as db:
        user_id = await service.resolve_number(db, tenant_id, number)
        user = await service.change_member(db, actor, user_id, changes, services.clock())
        return show_user(user, (await tenants.fetch_tenant(db, tenant_id)).number)


@delete("/users/{user_id:str}", status_code=204)
async def delete_user(
    request: Request[Any, Any, Any], services: NamedDependency[Services], actor: NamedDependency[Actor]
) -> None:
    """Delete a user of the caller's tenant. Their sessions end, and their address is free. For admins."""
    actor.require_role(Role.ADMIN)
    tenant_id, number = actor.user_key[0], read_number(request, "user_id", UserNotFound())
    async with services.transaction(tenant_id) as db:
        user_id = await service.resolve_number(db, tenant_id, number)
        await service.delete_member(db, actor, user_id, services.clock())


def settle_credentials(
    email: str | UnsetType, password: str | UnsetType, passwords: Passwords
) -> str | UnsetType:
    """Give an address in its usual form. Raises Invalid with the faults of address and password."""
    faults, settled = [], UNSET if email is UNSET else read_email(email)
    if settled is None:
        faults.append(Fault("email", "must be an e-mail address", email))
    try:
        if password is not UNSET:
            passwords.check_policy(password)
    except Invalid as error:
        faults += error.faults
    if settled is None or faults:
        raise Invalid(faults)
    return settled
