"""Errors as the tracking contract shapes them: `{"error": {code, message, request_id, details}}`.

`code` is one of a few, `message` says it in the caller's language. `details` is in English and names what
exactly was refused: `errors` lists every fault of a request, `reason` and `text` explain the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response
from litestar.enums import MediaType

from control_plane.core import errors
from control_plane.core.decoding import MalformedBody
from control_plane.core.faults import Fault, show
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.statuses import headers_of
from control_plane.dialects.tracking.languages import MESSAGES, choose_language
from control_plane.domains.conversions.errors import ReportRefused
from control_plane.domains.idempotency.errors import IdempotencyKeyReused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request

    from control_plane.dialects.tracking.languages import Code

ANSWERS: Final[Mapping[type[errors.DomainError], tuple[int, Code]]] = {
    errors.Unauthenticated: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.NotFound: (404, "not_found"),
    errors.Conflict: (409, "conflict"),
    errors.Invalid: (400, "validation_error"),
    MalformedBody: (400, "validation_error"),
    IdempotencyKeyReused: (422, "conflict"),
    errors.RateLimited: (429, "rate_limit_exceeded"),
    errors.Unavailable: (503, "unavailable"),
}
"""What each family is here; of an error's families, the closest one counts."""

REFUSALS: Final[Mapping[int, tuple[int, Code]]] = {
    404: (404, "not_found"),
    405: (405, "method_not_allowed"),
    413: (413, "payload_too_large"),
    415: (415, "unsupported_media_type"),
    500: (500, "internal_error"),
    503: (503, "unavailable"),
}
"""What is refused outside the domains; everything else there is a request that breaks rules: 400."""


class FaultOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule that one value breaks. `value`: what was given, as JSON, cut to a readable length."""

    field: str
    rule: str
    value: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong. `message`: in the caller's language."""

    code: str
    message: str
    request_id: str
    details: dict[str, Any] | None


class ErrorOut(msgspec.Struct, frozen=True):
    """The body of every error."""

    error: ErrorBody


def answer(
    request: Request[Any, Any, Any],
    status: int,
    code: Code,
    details: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[ErrorOut]:
    """Shape an error as this contract does."""
    language = choose_language(request.headers.get("Accept-Language", ""))
    body = ErrorBody(
        code=code,
        message=MESSAGES[code][language],
        request_id=request_id_of(request.scope),
        details=details,
    )
    common = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(
        ErrorOut(body),
        status_code=status,
        headers=common | dict(headers or {}),
        media_type=MediaType.JSON,
    )


def answer_domain_error(request: Request[Any, Any, Any], error: errors.DomainError) -> Response[ErrorOut]:
    """Map what a domain refused to a status, a code, and what explains it."""
    status, code, details = explain(error)
    return answer(request, status, code, details, headers_of(error, request.scope))


def explain(error: errors.DomainError) -> tuple[int, Code, dict[str, Any]]:
    """Give (status, code, details) of what a domain refused."""
    status, code = answer_of(type(error))
    if isinstance(error, errors.Invalid) and code == "validation_error":
        details: dict[str, Any] = {"errors": [show_fault(fault) for fault in error.faults]}
    elif isinstance(error, MalformedBody):
        details = {"errors": [FaultOut("body", f"must be JSON: {error.reason}")]}
    else:
        details = {"reason": error.code, "text": str(error)}
    if isinstance(error, ReportRefused):
        details["errors"] = [show_fault(fault) for fault in error.faults]
    return status, code, details


def answer_of(kind: type[errors.DomainError]) -> tuple[int, Code]:
    """Give (status, code) of the closest family. Raises StopIteration for a stranger."""
    return next(ANSWERS[base] for base in kind.__mro__ if base in ANSWERS)


def show_fault(fault: Fault) -> FaultOut:
    """Shape a fault."""
    return FaultOut(fault.field, fault.rule, None if fault.value is msgspec.UNSET else show(fault.value))


def answer_refusal(
    request: Request[Any, Any, Any], status: int, text: str, headers: Mapping[str, str] | None = None
) -> Response[ErrorOut]:
    """Answer what was refused outside the domains: no such path or method, a body that cannot be one."""
    status, code = REFUSALS.get(status, (400, "validation_error"))
    return answer(request, status, code, {"text": text}, headers)
