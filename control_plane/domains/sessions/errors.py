"""What the sessions domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Forbidden, NotFound, Unauthenticated


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is malformed, unknown, used up, or of a session that has ended.

    `commits`: a token that comes back after it was used up has just ended its session.
    """

    code = "invalid_refresh_token"
    commits = True

    def __init__(self) -> None:
        super().__init__("Invalid, used or expired refresh token.")


class SessionNotFound(NotFound):
    """The user has no such session."""

    code = "session_not_found"

    def __init__(self) -> None:
        super().__init__("Session not found")


class ReauthenticationRequired(Forbidden):
    """It was too long ago that the session's user proved with a secret who they are."""

    code = "reauthentication_required"

    def __init__(self) -> None:
        super().__init__("Sign in again, or send current_password, to do this.")
