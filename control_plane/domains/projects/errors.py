"""What the project domain refuses."""

from __future__ import annotations

from control_plane.core.errors import NotFound


class ProjectNotFound(NotFound):
    """The tenant has no such project."""

    code = "project_not_found"

    def __init__(self) -> None:
        super().__init__("Project not found")
