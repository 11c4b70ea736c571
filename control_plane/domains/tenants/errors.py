"""What the tenants domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound


class TenantNotFound(NotFound):
    """There is no such tenant, or it is not the caller's."""

    code = "tenant_not_found"

    def __init__(self) -> None:
        super().__init__("Tenant not found")
