"""Users: find, change, ban, and who may do what to whom.

Changes that could leave a tenant without an admin take the tenant's lock first, so that two at once
cannot each count on the other one's admin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from control_plane.core.actor import RANK, Role, RoleRequired
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.core.page import Page
from control_plane.domains.accounts.errors import UserNotFound
from control_plane.domains.audit import service as audit
from control_plane.domains.sessions import service as sessions
from control_plane.domains.tenants import service as tenants
from control_plane.domains.tenants import store as tenants_store
from control_plane.domains.users import store
from control_plane.domains.users.errors import EmailTaken, LastAdmin, OwnAccount, SuperadminProtected

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.users.model import (
        MemberChanges,
        NewUser,
        ProfileChanges,
        User,
        UserFilters,
    )

EARLIEST_BIRTH_YEAR: Final = 1900


async def fetch_user(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> User:
    """Find a user who is not deleted. Raises UserNotFound."""
    user = await store.fetch_user(db, tenant_id, user_id)
    if user is None:
        raise UserNotFound(user_id)
    return user


async def find_tenant(db: Connection, user_id: uuid.UUID) -> uuid.UUID:
    """Find the tenant of a user. `db`: of the system. Raises UserNotFound."""
    tenant_id = await store.find_tenant(db, user_id)
    if tenant_id is None:
        raise UserNotFound(user_id)
    return tenant_id


async def resolve_number(db: Connection, tenant_id: uuid.UUID, number: int) -> uuid.UUID:
    """Find a user of a tenant by the growth contract's id. Raises UserNotFound."""
    user_id = await store.find_id_by_number(db, tenant_id, number)
    if user_id is None:
        raise UserNotFound
    return user_id


async def list_users(
    db: Connection, tenant_id: uuid.UUID | None, filters: UserFilters, page: PageRequest
) -> Page[User]:
    """List a page of users, newest first. `tenant_id`: None for all tenants, with `db` of the system."""
    users, total = await store.list_users(db, tenant_id, filters, page)
    return Page(users, total, page.page, page.per_page)


async def change_profile(db: Connection, actor: Actor, changes: ProfileChanges, now: datetime) -> User:
    """Change what a user says about themselves. Raises Invalid."""
    born = changes.birth_date
    if (
        born is not UNSET
        and born is not None
        and not (born.year >= EARLIEST_BIRTH_YEAR and born < now.date())
    ):
        raise Invalid(
            [Fault("birth_date", f"must be a day from {EARLIEST_BIRTH_YEAR} on that is past", born)]
        )
    before = await _fetch_locked(db, *actor.user_key)
    return await _write_profile(db, actor, before, msgspec.structs.replace(before, **_given(changes)), now)


async def pick_avatar(
    db: Connection, actor: Actor, avatar_id: uuid.UUID | None, avatar_url: str, now: datetime
) -> User:
    """Give a user a new picture. `avatar_id`: the one of avatars.py that `avatar_url` shows, if it is one."""
    before = await _fetch_locked(db, *actor.user_key)
    after = msgspec.structs.replace(before, avatar_id=avatar_id, avatar_url=avatar_url)
    return await _write_profile(db, actor, before, after, now)


async def ban_user(  # noqa: PLR0913  who, whom, why, until when
    db: Connection,
    actor: Actor,
    tenant_id: uuid.UUID,
    user_id: uuid.UUID,
    *,
    reason: str,
    until: datetime | None,
    now: datetime,
) -> None:
    """Keep a user out, until a moment or for good, and end their sessions.

    Raises UserNotFound, Invalid, OwnAccount, SuperadminProtected, LastAdmin. A superadmin may ban a
    tenant's last admin.
    """
    if user_id == actor.user_id:
        raise OwnAccount
    if until is not None and until <= now:
        raise Invalid([Fault("unblock_date", "must lie in the future", until)])
    before = await _fetch_manageable(db, actor, tenant_id, user_id)
    if not actor.is_superadmin:
        await _require_other_admin(db, before, now)
    after = msgspec.structs.replace(before, banned_at=now, banned_until=until)
    await store.set_ban(db, after, reason, now)
    await sessions.revoke_sessions(db, tenant_id, user_id, reason="banned", now=now)
    await audit.record(
        db,
        actor,
        tenant_id,
        "user.ban",
        ("user", user_id),
        now=now,
        before=_describe_ban(before),
        after=_describe_ban(after) | {"reason": reason},
    )


async def unban_user(
    db: Connection, actor: Actor, tenant_id: uuid.UUID, user_id: uuid.UUID, now: datetime
) -> None:
    """Let a banned user in again; nothing happens to one who is not.

    Raises UserNotFound, SuperadminProtected.
    """
    before = await _fetch_manageable(db, actor, tenant_id, user_id)
    if before.banned_at is None:
        return
    after = msgspec.structs.replace(before, banned_at=None, banned_until=None)
    await store.set_ban(db, after, None, now)
    await audit.record(
        db,
        actor,
        tenant_id,
        "user.unban",
        ("user", user_id),
        now=now,
        before=_describe_ban(before),
        after=_describe_ban(after),
    )


async def create_member(db: Connection, actor: Actor, new: NewUser, now: datetime) -> User:
    """Add a user to the actor's tenant. Raises RoleRequired, SeatsTaken, EmailTaken."""
    tenant_id, user_id = actor.user_key[0], new_id()
    _require_rank(actor, new.role)
    await tenants.claim_seat(db, tenant_id)
    if not await store.insert_user(db, tenant_id, user_id, new, now):
        raise EmailTaken(str(new.email))
    user = await fetch_user(db, tenant_id, user_id)
    await audit.record(
        db, actor, tenant_id, "user.create", ("user", user_id), now=now, after=_describe_member(user)
    )
    return user


async def change_member(
    db: Connection, actor: Actor, user_id: uuid.UUID, changes: MemberChanges, now: datetime
) -> User:
    """Change a user of the actor's tenant.

    A new address or password needs that the actor has proved lately who they are, and ends the user's
    other sessions. Raises UserNotFound, SuperadminProtected, RoleRequired, LastAdmin, EmailTaken,
    ReauthenticationRequired.
    """
    before = await _fetch_manageable(db, actor, actor.user_key[0], user_id)
    given = _given(changes)
    password_hash = given.pop("password_hash", None)
    after = msgspec.structs.replace(before, **given)
    is_new_address = (after.email or "").lower() != (before.email or "").lower()
    if is_new_address:
        after = msgspec.structs.replace(after, email_verified_at=None)
    if after.role is not before.role:
        _require_rank(actor, after.role)
    if after.role is not Role.ADMIN or not after.is_active:
        await _require_other_admin(db, before, now)
    if is_new_address or password_hash is not None:
        sessions.require_recent_authentication(actor, now)
    if after == before and password_hash is None:
        return before
    if not await store.update_member(db, after, now):
        raise EmailTaken(str(after.email))
    if password_hash is not None:
        await store.set_password(db, before.tenant_id, user_id, password_hash, now)
    if is_new_address or password_hash is not None or not after.is_active:
        kept = actor.credential_id if user_id == actor.user_id and after.is_active else None
        await sessions.revoke_sessions(
            db, before.tenant_id, user_id, reason="changed_by_admin", now=now, except_id=kept
        )
    await _record_change(db, actor, before, after, has_new_password=password_hash is not None, now=now)
    return msgspec.structs.replace(after, updated_at=now)


async def delete_member(db: Connection, actor: Actor, user_id: uuid.UUID, now: datetime) -> None:
    """Delete a user of the actor's tenant: their sessions end, and their address is free again.

    Raises UserNotFound, SuperadminProtected, LastAdmin.
    """
    user = await _fetch_manageable(db, actor, actor.user_key[0], user_id)
    await _require_other_admin(db, user, now)
    await store.delete_user(db, user.tenant_id, user_id, now)
    await sessions.revoke_sessions(db, user.tenant_id, user_id, reason="deleted", now=now)
    await audit.record(
        db,
        actor,
        user.tenant_id,
        "user.delete",
        ("user", user_id),
        now=now,
        before=_describe_member(user),
    )


async def _fetch_locked(db: Connection, tenant_id: uuid.UUID, user_id: uuid.UUID) -> User:
    await store.lock_user(db, tenant_id, user_id)
    return await fetch_user(db, tenant_id, user_id)


async def _fetch_manageable(db: Connection, actor: Actor, tenant_id: uuid.UUID, user_id: uuid.UUID) -> User:
    """Find a user to be changed by somebody else, under the tenant's lock and their own."""
    await tenants_store.lock_tenant(db, tenant_id)
    user = await _fetch_locked(db, tenant_id, user_id)
    if user.is_superadmin and not actor.is_superadmin:
        raise SuperadminProtected
    return user


async def _require_other_admin(db: Connection, user: User, now: datetime) -> None:
    """Raise LastAdmin if a user looks after their tenant, and nobody else could."""
    if user.role is not Role.ADMIN or not user.is_active or user.is_banned(now):
        return
    if not await store.count_other_admins(db, user.tenant_id, user.id, now):
        raise LastAdmin


def _require_rank(actor: Actor, role: Role) -> None:
    """Raise RoleRequired for a role above the actor's own."""
    if not actor.is_superadmin and RANK[role] > RANK[actor.role]:
        raise RoleRequired(role)


async def _write_profile(db: Connection, actor: Actor, before: User, after: User, now: datetime) -> User:
    if after == before:
        return before
    await store.update_profile(db, after, now)
    await audit.record(
        db,
        actor,
        before.tenant_id,
        "user.update_profile",
        ("user", before.id),
        now=now,
        before={name: getattr(before, name) for name in store.PROFILE},
        after={name: getattr(after, name) for name in store.PROFILE},
    )
    return msgspec.structs.replace(after, updated_at=now)


async def _record_change(  # noqa: PLR0913  who, from what, to what
    db: Connection, actor: Actor, before: User, after: User, *, has_new_password: bool, now: datetime
) -> None:
    await audit.record(
        db,
        actor,
        before.tenant_id,
        "user.update",
        ("user", before.id),
        now=now,
        before=_describe_member(before),
        after=_describe_member(after) | ({"password_changed": True} if has_new_password else {}),
    )


def _given(changes: ProfileChanges | MemberChanges) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}


def _describe_member(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in store.MEMBER}


def _describe_ban(user: User) -> dict[str, object]:
    return {"banned_at": user.banned_at, "banned_until": user.banned_until}
