"""What the clicks domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound


class ClickNotFound(NotFound):
    """The caller has no such click."""

    code = "click_not_found"

    def __init__(self) -> None:
        super().__init__("Click not found")
