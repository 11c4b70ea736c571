"""Errors as the identity dialect shapes them: problem details (RFC 9457).

The contract is silent on the bodies of errors. `code` is the domain error's own, `errors` names every
fault of a refused request.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response

from control_plane.core import errors
from control_plane.core.faults import show
from control_plane.dialects.envelope import request_id_of
from control_plane.dialects.statuses import headers_of, status_of
from control_plane.domains.mfa.errors import MfaRequired

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request
    from litestar.types import Scope

MEDIA_TYPE = "application/problem+json"


class FaultOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule that one value breaks. `value`: what was given, as JSON, cut to a readable length."""

    field: str
    rule: str
    value: str | None = None


class ProblemOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error. `mfa_token`: with code "mfa_required", what the second step is sent with."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FaultOut] | None = None
    mfa_token: str | None = None


def answer(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response[ProblemOut]:
    """Shape an error as this dialect does. `extensions`: further members of ProblemOut."""
    problem = ProblemOut(
        type=f"urn:switchyard:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id_of(scope),
        **extensions,
    )
    return Response(problem, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def answer_domain_error(request: Request[Any, Any, Any], error: errors.DomainError) -> Response[ProblemOut]:
    """Map what a domain refused to a status, its text, and the headers that go with it."""
    extensions: dict[str, Any] = {}
    if isinstance(error, MfaRequired):
        extensions["mfa_token"] = error.mfa_token
    if isinstance(error, errors.Invalid):
        extensions["errors"] = [
            FaultOut(fault.field, fault.rule, None if fault.value is msgspec.UNSET else show(fault.value))
            for fault in error.faults
        ]
    return answer(
        request.scope,
        status_of(type(error)),
        error.code,
        str(error),
        headers_of(error, request.scope),
        **extensions,
    )
