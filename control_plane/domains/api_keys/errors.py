"""What the API key domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound, Unauthenticated


class InvalidApiKey(Unauthenticated):
    """The key is malformed, unknown or revoked; a caller is not told which."""

    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("Invalid or revoked API key.")


class ApiKeyNotFound(NotFound):
    """The caller has no such active key."""

    code = "api_key_not_found"

    def __init__(self) -> None:
        super().__init__("API key not found")
