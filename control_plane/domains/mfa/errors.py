"""What the MFA domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Forbidden


class MfaRequired(Forbidden):
    """The first factor was right; the user has a second one. `mfa_token`: what it is sent with.

    `commits`: the challenge that the token belongs to is kept.
    """

    code = "mfa_required"
    commits = True

    def __init__(self, mfa_token: str) -> None:
        super().__init__("A second factor is required.")
        self.mfa_token = mfa_token
