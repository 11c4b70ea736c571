"""The one pagination engine: dialects rename its fields, they never page on their own.

A page is asked for by its number (`PageRequest`), or by where another one ended (`StretchRequest`), which
costs the same however far from the start it lies, and neither skips nor repeats what comes in meanwhile.
Lists are ordered by id, newest first; ids are unique, so ties do not exist.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
U = TypeVar("U")

_PLACE = ("total", "per_page", "position", "has_newer", "has_older", "first", "last")


LOWEST: Final = uuid.UUID(int=0)
HIGHEST: Final = uuid.UUID(int=2**128 - 1)
"""No id is either of them: a UUID's version is neither 0 nor 15."""


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


class StretchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which stretch of a list, newest first: at most `per_page` items.

    older_than: those that follow this id. newer_than: those that precede this id. Neither: those after
    the first `position` ones. `position` beside an id: how many were before, as far as the caller knows.
    """

    per_page: int
    position: int = 0
    older_than: uuid.UUID | None = None
    newer_than: uuid.UUID | None = None

    @property
    def limit(self) -> int:
        """How many keys to read: one more than is shown, which tells whether there are more."""
        return self.per_page + 1

    @property
    def offset(self) -> int:
        """How many keys to skip."""
        return 0 if self.older_than or self.newer_than else self.position

    def narrow(self, low: uuid.UUID, high: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
        """Narrow the ids from `low`, up to but without `high`, to those on the wanted side."""
        if self.older_than is not None:
            return low, min(high, self.older_than)
        if self.newer_than is not None and self.newer_than < high:
            return max(low, uuid.UUID(int=self.newer_than.int + 1)), high
        return (low, high) if self.newer_than is None else (high, high)


class Stretch(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Part of a list of `total` items. `first`, `last`: ids of its ends, None when it is empty.

    `position`: how many items precede it; `has_newer`, `has_older`: whether any do, or follow.
    """

    items: list[T]
    total: int
    per_page: int
    position: int
    has_newer: bool
    has_older: bool
    first: uuid.UUID | None = None
    last: uuid.UUID | None = None

    def fill(self, rows: Mapping[T, U]) -> Stretch[U]:
        """Put rows in the place of their keys."""
        items = [rows[key] for key in self.items]
        return Stretch(items=items, **{name: getattr(self, name) for name in _PLACE})


def cut_keys(keys: list[uuid.UUID], request: StretchRequest, total: int) -> Stretch[uuid.UUID]:
    """Cut the keys that were read, `request.limit` at most, to what is shown.

    `keys`: newest first; those before `newer_than` were read from it on, so oldest first.
    """
    has_more, shown = len(keys) > request.per_page, keys[: request.per_page]
    if request.newer_than is not None:
        shown.reverse()
        position = max(request.position - len(shown), 1) if has_more else 0
        has_newer, has_older = has_more, True
    else:
        position = request.position
        has_newer, has_older = position > 0 and total > 0, has_more
    return Stretch(
        items=shown,
        total=total,
        per_page=request.per_page,
        position=position,
        has_newer=has_newer,
        has_older=has_older,
        first=shown[0] if shown else None,
        last=shown[-1] if shown else None,
    )
