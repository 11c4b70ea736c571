"""What the tenants domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Conflict, NotFound


class TenantNotFound(NotFound):
    """There is no such tenant, or it is not the caller's."""

    code = "tenant_not_found"

    def __init__(self) -> None:
        super().__init__("Tenant not found")


class TenantSlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "tenant_slug_taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"slug must not belong to another tenant, got {slug!r}")
        self.slug = slug


class OwnTenantNeeded(Conflict):
    """A superadmin would lock themselves out, and with them everybody of their tenant."""

    code = "own_tenant_needed"

    def __init__(self) -> None:
        super().__init__("status must not end the tenant that you belong to yourself")


class SeatsTaken(Conflict):
    """The tenant has as many users as it may have. `max_users`: how many that is."""

    code = "seats_taken"

    def __init__(self, max_users: int) -> None:
        super().__init__(f"The tenant has all of the {max_users} users that it may have")
        self.max_users = max_users
