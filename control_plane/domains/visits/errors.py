"""What the visits domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound


class VisitNotFound(NotFound):
    """The tenant has no such visit."""

    code = "visit_not_found"

    def __init__(self) -> None:
        super().__init__("Visit not found")
