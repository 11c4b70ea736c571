"""Paging as the growth contract does it: `page` and `limit`, the items beside the numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from control_plane.core.page import PageRequest

if TYPE_CHECKING:
    from control_plane.core.page import Page

T = TypeVar("T")


class PageQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page."""

    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Meta(ge=1, le=100)] = 20

    @property
    def request(self) -> PageRequest:
        """The page in the engine's words."""
        return PageRequest(self.page, self.limit)


class PageOut(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page."""

    items: list[T]
    total: int
    page: int
    limit: int
    pages: int
    has_next: bool
    has_prev: bool


def show_page(page: Page[Any], items: list[T]) -> PageOut[T]:
    """Shape a page whose items are already shaped."""
    pages = math.ceil(page.total / page.per_page)
    return PageOut(
        items=items,
        total=page.total,
        page=page.page,
        limit=page.per_page,
        pages=pages,
        has_next=page.page < pages,
        has_prev=page.page > 1,
    )
