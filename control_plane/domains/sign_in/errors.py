"""What the sign-in domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Forbidden, Unauthenticated


class InvalidCredentials(Unauthenticated):
    """Nobody has this identifier with this password, or not now; a caller is not told which.

    The same for an unknown user, a wrong password, too many of them, a ban, and a suspended tenant.
    `commits`: the failure is counted.
    """

    code = "invalid_credentials"
    commits = True

    def __init__(self) -> None:
        super().__init__("Invalid credentials.")


class VerificationRequired(Forbidden):
    """The password was right; the address or number that it came with was never verified."""

    code = "verification_required"
    commits = True

    def __init__(self) -> None:
        super().__init__("Verify this address or number first.")
