"""Errors as the links contract shapes them: `{"detail": "<text>"}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from litestar.enums import MediaType

from control_plane.core import errors
from control_plane.dialects.statuses import headers_of, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request


class MissingApiKey(errors.Unauthenticated):
    """The request has no X-API-Key header."""

    code = "missing_api_key"

    def __init__(self) -> None:
        super().__init__("Missing API key. Include X-API-Key header.")


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
    return answer(status_of(type(error)), str(error), headers_of(error, request.scope))
