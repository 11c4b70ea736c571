"""Errors as the growth contract shapes them: `{"success": false, "error", "code", "details"}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from litestar.enums import MediaType

from control_plane.core import errors
from control_plane.core.faults import show
from control_plane.dialects.statuses import headers_of, status_of
from control_plane.domains.mfa.errors import MfaRequired

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request


class ErrorOut(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error. `code`: in capitals, as in NOT_FOUND. `details`: what explains it."""

    success: bool = False
    error: str
    code: str
    details: dict[str, Any]


def answer(
    status: int,
    code: str,
    text: str,
    details: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[ErrorOut]:
    """Shape an error as this contract does."""
    error = ErrorOut(error=text, code=code.upper(), details=details or {})
    return Response(error, status_code=status, headers=dict(headers or {}), media_type=MediaType.JSON)


def answer_domain_error(request: Request[Any, Any, Any], error: errors.DomainError) -> Response[ErrorOut]:
    """Map what a domain refused to a status, its text, and the headers that go with it."""
    details: dict[str, Any] = {}
    if isinstance(error, MfaRequired):
        details["mfa_token"] = error.mfa_token
    if isinstance(error, errors.Invalid):
        details["errors"] = [
            {"field": fault.field, "rule": fault.rule}
            | ({} if fault.value is msgspec.UNSET else {"value": show(fault.value)})
            for fault in error.faults
        ]
    headers = headers_of(error, request.scope)
    if isinstance(error, errors.RateLimited):
        headers["X-Rate-Limit-Remaining"] = "0"
    return answer(status_of(type(error)), error.code, str(error), details, headers)
