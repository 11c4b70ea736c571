"""What OpenAPI says of this dialect beyond the handlers' types: parameters, errors, headers.

Handlers read their parameters through core.decoding, which reports every fault at once, so that
Litestar sees neither names nor limits; `describe` documents the same structs that are decoded.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from litestar.openapi.spec import (
    Components,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from control_plane.dialects.schemas import build_schema, describe_struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    import msgspec

LIMIT_HEADERS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
ALWAYS: Final = ("X-Request-ID",)

_HEADERS: Final = {
    "X-RateLimit-Limit": (OpenAPIType.INTEGER, "Maximum requests allowed per hour"),
    "X-RateLimit-Remaining": (OpenAPIType.INTEGER, "Remaining requests in current hour"),
    "X-RateLimit-Reset": (OpenAPIType.INTEGER, "Unix timestamp when rate limit resets"),
    "Retry-After": (OpenAPIType.INTEGER, "Seconds to wait before retrying"),
    "WWW-Authenticate": (OpenAPIType.STRING, "Authentication method required"),
    "X-Request-ID": (OpenAPIType.STRING, "Name of this request in the logs; yours, if you sent one"),
}

_ERRORS: Final = {
    401: ("UnauthorizedError", "Authentication required - invalid or missing API key or token"),
    403: ("ForbiddenError", "Plan does not include API access"),
    404: ("NotFoundError", "Resource not found"),
    409: ("ConflictError", "Resource conflict - slug already taken"),
    413: ("PayloadTooLargeError", "The body is larger than the server accepts"),
    415: ("UnsupportedMediaTypeError", "The body is not declared as JSON"),
    422: ("ValidationError", "Validation error - every fault, joined by '; '"),
    429: ("RateLimitError", "Rate limit exceeded"),
    500: ("InternalError", "Unexpected error; X-Request-ID finds it in the logs"),
    503: ("UnavailableError", "A server behind the API is away; try again"),
}

_OWN_HEADERS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_UNLIMITED: Final = frozenset({401, 403})
"""Errors that are answered before a request is counted, so without the headers of the limit."""

_ERROR_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    required=["detail"],
    properties={"detail": Schema(type=OpenAPIType.STRING, description="Error message")},
)


def describe(
    *,
    errors: Sequence[int],
    limited: bool,
    parameters: type[msgspec.Struct] | None = None,
    header: Parameter | None = None,
    repeated: str = "",
) -> type[Operation]:
    """Make the class of an operation's documentation.

    `errors`: statuses beside the success, and beside 500 and 503, which anything can answer.
    `limited`: whether responses carry the headers of the rate limit.
    `parameters`: the struct that query parameters are decoded into. `header`: one that is read.
    `repeated`: what a 200 beside the 201 means, where there is one; it has the same body.
    """

    @dataclasses.dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            headers = [*ALWAYS, *(LIMIT_HEADERS if limited else ())]
            self.responses = {
                status: response
                for status, response in (self.responses or {}).items()
                if status.startswith("2")
            }
            for response in self.responses.values():
                if isinstance(response, OpenAPIResponse):
                    response.headers = {name: _header(name) for name in headers}
            if repeated:
                self.responses["200"] = dataclasses.replace(self.responses["201"], description=repeated)
            for status in sorted({*errors, 500, 503}):
                self.responses[str(status)] = Reference(ref=f"#/components/responses/{_ERRORS[status][0]}")
            extra = [*(_query_parameters(parameters) if parameters else ()), *([header] if header else ())]
            self.parameters = [*(_path_parameter(path) for path in self.parameters or ()), *extra] or None

    return Described


def build_components() -> Components:
    """Build the parts of the document that operations refer to."""
    return Components(
        headers={
            name: OpenAPIHeader(schema=Schema(type=kind), description=text)
            for name, (kind, text) in _HEADERS.items()
        },
        responses={name: _error(status, text) for status, (name, text) in _ERRORS.items()},
        security_schemes={
            "ApiKeyAuth": SecurityScheme(
                type="apiKey",
                name="X-API-Key",
                security_scheme_in="header",
                description="API key for links and clicks.",
            ),
            "BearerAuth": SecurityScheme(
                type="http",
                scheme="bearer",
                bearer_format="JWT",
                description="Token of a user, for managing API keys.",
            ),
        },
    )


def _error(status: int, text: str) -> OpenAPIResponse:
    names = (*_OWN_HEADERS.get(status, ()), *ALWAYS, *(() if status in _UNLIMITED else LIMIT_HEADERS))
    return OpenAPIResponse(
        description=text,
        content={"application/json": OpenAPIMediaType(schema=_ERROR_SCHEMA)},
        headers={name: _header(name) for name in names},
    )


def _header(name: str) -> Reference:
    return Reference(ref=f"#/components/headers/{name}")


def _path_parameter(parameter: Parameter | Reference) -> Parameter | Reference:
    """Say that a path parameter is a UUID. Routing takes any text, so that 401 comes before 404."""
    if isinstance(parameter, Parameter):
        parameter.schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID)
    return parameter


def _query_parameters(struct: type[msgspec.Struct]) -> list[Parameter]:
    """Document each field of a struct as a query parameter."""
    described = describe_struct(struct)
    return [
        Parameter(
            name=name,
            param_in="query",
            required=name in described["required"],
            description=schema.pop("description", None),
            schema=build_schema(schema),
        )
        for name, schema in described["properties"].items()
    ]
