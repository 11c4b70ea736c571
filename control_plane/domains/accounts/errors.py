"""What the accounts domain refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.errors import Forbidden, NotFound

if TYPE_CHECKING:
    import uuid


class ApiAccessDenied(Forbidden):
    """The tenant's plan does not include the API."""

    code = "api_access_denied"

    def __init__(self, plan_code: str) -> None:
        super().__init__(f"Your plan ({plan_code}) does not include API access. Upgrade to Growth or Scale.")
        self.plan_code = plan_code


class UserNotFound(NotFound):
    """There is no such user for this caller. `user_id`: None for what is no id at all."""

    code = "user_not_found"

    def __init__(self, user_id: uuid.UUID | None = None) -> None:
        super().__init__("User not found")
        self.user_id = user_id
