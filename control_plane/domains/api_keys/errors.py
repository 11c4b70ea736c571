"""What the API key domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Forbidden, NotFound, Unauthenticated


class InvalidApiKey(Unauthenticated):
    """The key is malformed, unknown, revoked or expired, or its holder is; a caller is not told which."""

    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Invalid or revoked API key.")


class IpNotAllowed(Forbidden):
    """The key may not be used from the caller's address."""

    code = "ip_not_allowed"

    def __init__(self) -> None:
        super().__init__("This API key may not be used from this address.")


class ScopeRequired(Forbidden):
    """The key does not have the scope that the operation needs."""

    code = "scope_required"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs an API key with the scope {scope}.")
        self.scope = scope


class ApiKeyNotFound(NotFound):
    """The caller has no such active key."""

    code = "api_key_not_found"

    def __init__(self) -> None:
        super().__init__("API key not found")
