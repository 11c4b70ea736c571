"""The one pagination engine: dialects rename its fields, they never page on their own."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class PageRequest(msgspec.Struct, frozen=True):
    """Which page. `page`: from 1. `per_page`: items on a page, from 1."""

    page: int
    per_page: int

    @property
    def offset(self) -> int:
        """Items before this page."""
        return (self.page - 1) * self.per_page


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of `total` items."""

    items: list[T]
    total: int
    page: int
    per_page: int
