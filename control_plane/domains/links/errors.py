"""What the links domain refuses, beside faults in the request (core.errors.Invalid)."""

from __future__ import annotations

from control_plane.core.errors import Conflict, NotFound, Unavailable


class LinkNotFound(NotFound):
    """The caller has no such link, or has deleted it."""

    code = "link_not_found"

    def __init__(self) -> None:
        super().__init__("Link not found")


class SlugTaken(Conflict):
    """Another link of the domain has this slug, or had it once: slugs are never given out twice.

    Not by who takes a domain over, either: what was printed under it must not lead somewhere new.
    """

    code = "slug_taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Slug '{slug}' is already taken")
        self.slug = slug


class NoFreeSlug(Unavailable):
    """Every slug that was drawn is taken; a sign that SLUG_LENGTH must grow."""

    code = "no_free_slug"

    def __init__(self) -> None:
        super().__init__("No free slug was found. Please try again.")
