"""Who does something: what a credential proved of its bearer, for permissions and for the audit."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Final

import msgspec

from control_plane.core.errors import Forbidden


class Role(enum.StrEnum):
    """What a user may do in their tenant; each role includes the ones below it."""

    ADMIN = "admin"
    MANAGER = "manager"
    ANALYST = "analyst"
    VIEWER = "viewer"


RANK: Final = {Role.VIEWER: 0, Role.ANALYST: 1, Role.MANAGER: 2, Role.ADMIN: 3}


class ActorKind(enum.StrEnum):
    """What sort of credential speaks for the actor."""

    USER = "user"
    API_KEY = "api_key"
    SERVICE = "service"
    SYSTEM = "system"


class RoleRequired(Forbidden):
    """The actor's role does not allow it. `role`: the least one that does, or "superadmin"."""

    code = "role_required"

    def __init__(self, role: str) -> None:
        super().__init__(f"This needs the role {role}.")
        self.role = role


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. `credential_id`: the session or the key. `tenant_id`: whose rows they work on.

    `authenticated_at`: when a user last proved with a secret who they are. A superadmin may act on any
    tenant; a service token belongs to none and has tenant_id None.
    """

    kind: ActorKind
    tenant_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    credential_id: uuid.UUID | None = None
    role: Role = Role.VIEWER
    is_superadmin: bool = False
    authenticated_at: datetime | None = None
    request_id: str | None = None
    ip_address: str | None = None

    @property
    def user_key(self) -> tuple[uuid.UUID, uuid.UUID]:
        """Give (tenant id, user id) of an actor who is a user."""
        assert self.tenant_id is not None
        assert self.user_id is not None
        return self.tenant_id, self.user_id

    def require_role(self, role: Role) -> None:
        """Raise RoleRequired unless the actor has `role` or a higher one."""
        if not self.is_superadmin and RANK[self.role] < RANK[role]:
            raise RoleRequired(role)

    def require_superadmin(self) -> None:
        """Raise RoleRequired unless the actor is a superadmin."""
        if not self.is_superadmin:
            raise RoleRequired("superadmin")


SYSTEM: Final = Actor(kind=ActorKind.SYSTEM)
"""What happens by itself: jobs, commands, clocks."""
