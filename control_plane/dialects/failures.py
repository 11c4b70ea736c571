"""Everything that goes wrong outside the domains: routing, bodies, servers that are away, bugs.

Litestar hands all of it to one place. The shape of the answer is that of the dialect in whose
prefix the path lies.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE, HTTP_500_INTERNAL_SERVER_ERROR

from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.growth import errors as growth
from control_plane.dialects.identity import errors as identity
from control_plane.dialects.links import errors as links
from control_plane.dialects.tracking import errors as tracking
from control_plane.dialects.tracking.paths import is_ours as is_tracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request, Response

RETRY_AFTER_S: Final = 2
"""Postgres comes back from a restart in about that time."""

_CODES: Final = {422: "malformed_body", 500: "internal_error", 503: "unavailable"}
"""Codes of errors that are not named as HTTP names them."""

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
)

_log = structlog.get_logger(__name__)


def answer_failure(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer what no domain raised."""
    if isinstance(error, HTTPException) and error.status_code < HTTP_500_INTERNAL_SERVER_ERROR:
        return _answer_refusal(request, error)
    facts = {"request_id": request_id_of(request.scope), "method": request.method, "path": request.url.path}
    if is_database_away(error):
        _log.warning("database_away", error=repr(error), **facts)
        return _shape(
            request, 503, "The database is away. Please try again.", {"Retry-After": str(RETRY_AFTER_S)}
        )
    _log.error("request_failed", exc_info=error, **facts)
    return _shape(request, 500, f"Unexpected error. Request id: {facts['request_id']}")


def _shape(
    request: Request[Any, Any, Any], status: int, text: str, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """Shape an error as the dialect does in whose prefix the path lies."""
    path, code = request.url.path, _CODES.get(status, HTTPStatus(status).name.lower())
    if is_tracking(path):
        return tracking.answer_refusal(request, status, text, headers)
    if path.startswith("/v1/"):
        return identity.answer(request.scope, status, code, text, headers)
    if path.startswith("/api/v1/") and not path.startswith("/api/v1/public"):
        return growth.answer(status, code, text, None, headers)
    return links.answer(status, text, headers)


def is_database_away(error: Exception) -> bool:
    """Tell whether an error says that Postgres cannot be reached, not that a query is wrong."""
    return isinstance(error, _AWAY) and not isinstance(error, ValueError)


def _answer_refusal(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer what the framework refuses, in words that help the caller."""
    path = request.url.path
    match error:
        case NotFoundException():
            return _shape(request, 404, f"There is nothing at {path}")
        case MethodNotAllowedException():
            return _shape(
                request, 405, f"{request.method} is not allowed at {path}", {"Allow": _allowed(error)}
            )
        case ValidationException():
            return _shape(request, 422, "The body is empty; it must be a JSON object")
    if error.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        return _shape(request, 413, "The body is larger than 1 MiB")
    return _shape(request, error.status_code, error.detail)


def _allowed(error: MethodNotAllowedException) -> str:
    """List the methods of a path. Every GET has a HEAD (envelope.CommonMethods)."""
    methods = {method.strip() for method in (error.headers or {})["allow"].split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
