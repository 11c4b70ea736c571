"""Paging as the identity contract does it: `page` and `page_size`, `{data, meta}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from control_plane.core.page import PageRequest

if TYPE_CHECKING:
    from control_plane.core.page import Page


class PageQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page."""

    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=100)] = 20

    @property
    def request(self) -> PageRequest:
        """The page in the engine's words."""
        return PageRequest(self.page, self.page_size)


class PaginationMeta(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands."""

    page: int
    page_size: int
    total: int
    has_more: bool


def show_meta(page: Page[Any]) -> PaginationMeta:
    """Tell where a page stands."""
    return PaginationMeta(
        page=page.page,
        page_size=page.per_page,
        total=page.total,
        has_more=page.page * page.per_page < page.total,
    )
