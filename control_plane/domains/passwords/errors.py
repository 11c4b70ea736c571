"""What the passwords domain refuses."""

from __future__ import annotations

from control_plane.core.errors import RateLimited


class TooManyPasswords(RateLimited):
    """More passwords wait to be hashed than may wait."""

    code = "too_many_passwords"

    def __init__(self) -> None:
        super().__init__(1)
