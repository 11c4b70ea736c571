"""What lies in this dialect's part of /v1, and the ids in its paths."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from litestar import Request

    from control_plane.core.errors import NotFound

_OURS: Final = re.compile(
    r"/v1/(projects|visits|clicks|checkouts|sales|refunds|upsells|blog|erasures|campaigns)(/|\Z)"
)


def is_ours(path: str) -> bool:
    """Tell whether a path below /v1 belongs to this contract; the others are the identity contract's."""
    return _OURS.match(path) is not None


def read_id(request: Request[Any, Any, Any], name: str, missing: NotFound) -> uuid.UUID:
    """Read an id from the path. Raises `missing` when it is no UUID: there is no such thing either."""
    try:
        return msgspec.convert(request.path_params[name], uuid.UUID)
    except msgspec.ValidationError as error:
        raise missing from error
