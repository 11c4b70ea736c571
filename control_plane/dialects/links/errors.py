"""Errors as the links contract shapes them: `{"detail": "<text>"}`.

STATUS maps each family of domain errors; a test proves that no error is left without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response
from litestar.enums import MediaType

from control_plane.core import errors
from control_plane.core.decoding import MalformedBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request

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


class MissingApiKey(errors.Unauthenticated):
    """The request has no X-API-Key header."""

    code = "missing_api_key"

    def __init__(self) -> None:
        super().__init__("Missing API key. Include X-API-Key header.")


class MissingToken(errors.Unauthenticated):
    """The request has no bearer token."""

    code = "missing_token"

    def __init__(self) -> None:
        super().__init__("Missing bearer token. Include Authorization: Bearer <token> header.")


class ErrorOut(msgspec.Struct, frozen=True):
    """The body of every error."""

    detail: str


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response[ErrorOut]:
    """Shape an error as this contract does."""
    return Response(
        ErrorOut(detail), status_code=status, headers=dict(headers or {}), media_type=MediaType.JSON
    )


def answer_domain_error(request: Request[Any, Any, Any], error: errors.DomainError) -> Response[ErrorOut]:
    """Map what a domain refused to a status, its text, and the headers that go with it."""
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = request.scope["state"]["challenge"]
    if isinstance(error, errors.RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = "1"
    return answer(status_of(type(error)), str(error), headers)


def status_of(kind: type[errors.DomainError]) -> int:
    """Give the status of the closest family that STATUS names. Raises StopIteration for a stranger."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)
