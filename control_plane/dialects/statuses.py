"""From domain errors to statuses: the part that all dialects but for their own exceptions agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core import errors
from control_plane.core.decoding import MalformedBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import Scope

STATUS: Final[Mapping[type[errors.DomainError], int]] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Invalid: 422,
    MalformedBody: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}


def status_of(kind: type[errors.DomainError]) -> int:
    """Give the status of the closest family that STATUS names. Raises StopIteration for a stranger."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def headers_of(error: errors.DomainError, scope: Scope) -> dict[str, str]:
    """Give the headers that go with an error: how to prove who one is, when to come back."""
    if isinstance(error, errors.Unauthenticated) and "challenge" in scope["state"]:
        return {"WWW-Authenticate": scope["state"]["challenge"]}
    if isinstance(error, errors.RateLimited):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "1"} if isinstance(error, errors.Unavailable) else {}
