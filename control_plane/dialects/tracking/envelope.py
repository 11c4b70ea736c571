"""What surrounds data in this contract: `{data, request_id}`; of lists with `pagination` in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.tracking.page import PaginationOut

if TYPE_CHECKING:
    from litestar import Request

T = TypeVar("T")


class DataOut(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One thing. `request_id`: what X-Request-ID says too."""

    data: T
    request_id: str


class ListOut(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of things."""

    data: list[T]
    pagination: PaginationOut
    request_id: str


def wrap(request: Request[Any, Any, Any], data: T) -> DataOut[T]:
    """Put one thing into its envelope."""
    return DataOut(data=data, request_id=request_id_of(request.scope))


def wrap_list(request: Request[Any, Any, Any], data: list[T], pagination: PaginationOut) -> ListOut[T]:
    """Put a page of things into its envelope."""
    return ListOut(data=data, pagination=pagination, request_id=request_id_of(request.scope))
