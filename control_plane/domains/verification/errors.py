"""What the verification domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault


class InvalidCode(Invalid):
    """The token or code is wrong, used, expired, or was tried too often; a caller is not told which.

    `commits`: the attempt is counted.
    """

    code = "invalid_code"
    commits = True

    def __init__(self, field: str = "code") -> None:
        super().__init__([Fault(field, "is wrong, used or expired; ask for a new one")])
