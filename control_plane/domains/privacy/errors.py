"""What the privacy domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound


class ErasureNotFound(NotFound):
    """The tenant has asked for no such erasure."""

    code = "erasure_not_found"

    def __init__(self) -> None:
        super().__init__("Erasure not found")
