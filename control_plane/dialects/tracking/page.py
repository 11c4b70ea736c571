"""Paging as the tracking contract does it: `page` and `per_page`, or `cursor` in the place of `page`.

A cursor says behind (or before) which item a page begins. It belongs to one list with its filters: a digest
of both, and of the cursor itself, is part of it, so anywhere else it is refused, as is one that was altered.
It holds no secret and opens nothing: whoever makes one up sees what page numbers show as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.page import StretchRequest

if TYPE_CHECKING:
    from control_plane.core.page import Stretch

CURSOR_LENGTH: Final = 200
DIGEST_BYTES: Final = 8
_RULE: Final = "must be a cursor of this list, with the same filters"


class PageQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page. `cursor`: the next_cursor or prev_cursor of another page, in the place of `page`."""

    page: Annotated[int, Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET
    per_page: Annotated[int, Meta(ge=1, le=100)] = 25
    cursor: Annotated[str, Meta(max_length=CURSOR_LENGTH)] | UnsetType = UNSET


class PaginationOut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands. `page` of one that a cursor named: as counted from where the walk began."""

    page: int
    per_page: int
    total: int
    total_pages: int
    has_next: bool
    has_previous: bool
    next_cursor: str | None
    prev_cursor: str | None


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    """older: whether the page follows `at`, or precedes it. `at`: 16 bytes of an id, or none."""

    older: bool
    position: Annotated[int, Meta(ge=0, le=2**48)]
    at: Annotated[bytes, Meta(max_length=16)]


class Paging:
    """The pages of one list. `name`: of the list. `filters`: what it is narrowed by, and whose it is."""

    def __init__(self, name: str, *filters: object) -> None:
        self._scope = msgspec.json.encode([name, *(None if one is UNSET else one for one in filters)])

    def read(self, query: PageQueryIn) -> StretchRequest:
        """Read which page is wanted. Raises Invalid."""
        if query.cursor is UNSET:
            page = 1 if query.page is UNSET else query.page
            return StretchRequest(per_page=query.per_page, position=(page - 1) * query.per_page)
        if query.page is not UNSET:
            raise Invalid([Fault("cursor", "must not be given together with page", query.cursor)])
        cursor = self._open(query.cursor)
        at = uuid.UUID(bytes=cursor.at) if cursor.at else None
        return StretchRequest(
            per_page=query.per_page,
            position=cursor.position,
            older_than=at if cursor.older else None,
            newer_than=None if cursor.older else at,
        )

    def show(self, stretch: Stretch[Any]) -> PaginationOut:
        """Tell where a page stands, and how to get to its neighbours."""
        per_page, shown = stretch.per_page, len(stretch.items)
        next_cursor = prev_cursor = None
        if stretch.has_older and stretch.last is not None:
            next_cursor = self._seal(_Cursor(True, stretch.position + shown, stretch.last.bytes))
        if stretch.has_newer and stretch.first is not None:
            prev_cursor = self._seal(_Cursor(False, stretch.position, stretch.first.bytes))
        elif stretch.has_newer:
            last_page = (stretch.total - 1) // per_page * per_page
            prev_cursor = self._seal(_Cursor(True, last_page, b""))
        return PaginationOut(
            page=-(-stretch.position // per_page) + 1,
            per_page=per_page,
            total=stretch.total,
            total_pages=-(-stretch.total // per_page),
            has_next=stretch.has_older,
            has_previous=stretch.has_newer,
            next_cursor=next_cursor,
            prev_cursor=prev_cursor,
        )

    def _seal(self, cursor: _Cursor) -> str:
        body = msgspec.msgpack.encode(cursor)
        return base64.urlsafe_b64encode(self._digest(body) + body).decode().rstrip("=")

    def _open(self, text: str) -> _Cursor:
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            digest, body = sealed[:DIGEST_BYTES], sealed[DIGEST_BYTES:]
            cursor = msgspec.msgpack.decode(body, type=_Cursor)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise Invalid([Fault("cursor", _RULE, text)]) from None
        if digest != self._digest(body) or len(cursor.at) not in {0, 16}:
            raise Invalid([Fault("cursor", _RULE, text)])
        return cursor

    def _digest(self, body: bytes) -> bytes:
        return hashlib.blake2b(
            body, key=hashlib.sha256(self._scope).digest(), digest_size=DIGEST_BYTES
        ).digest()
