"""What the blog domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Forbidden, RateLimited


class BlogNotApproved(Forbidden):
    """The operator has not let the tenant hand in drafts."""

    code = "blog_not_approved"

    def __init__(self) -> None:
        super().__init__("Handing in blog articles needs the approval of support.")


class TooManyDrafts(RateLimited):
    """The tenant has handed in all drafts of the day."""

    code = "too_many_drafts"
