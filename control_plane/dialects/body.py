"""JSON bodies: decoded with all their faults, and documented as what they should be.

A handler declares `data: Decoded[LinkCreateIn]` and `dto=JsonBody[LinkCreateIn]`; OpenAPI shows
LinkCreateIn. Litestar calls the DTO after the guards, so strangers get no bodies parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar.dto import AbstractDTO
from litestar.exceptions import HTTPException
from litestar.typing import FieldDefinition

from control_plane.core.decoding import accept, decode_json

if TYPE_CHECKING:
    from litestar import Request
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.connection import ASGIConnection
    from litestar.openapi.spec import Reference, Schema

    from control_plane.core.decoding import Decoded

S = TypeVar("S", bound=msgspec.Struct)


class UnsupportedMediaType(HTTPException):
    """The body is declared to be something else than JSON."""

    status_code = 415


async def read_optional_body(request: Request[Any, Any, Any], shape: type[S]) -> S:
    """Decode a body that may be left out: without one, every field has its default. Raises Invalid."""
    body = await request.body()
    return accept(_decode(request, body, shape)) if body else shape()


async def read_raw_body(request: Request[Any, Any, Any]) -> bytes:
    """Give a JSON body as it was sent, for who reads its numbers exactly. Raises UnsupportedMediaType."""
    _check_media_type(request)
    return await request.body()


class JsonBody(AbstractDTO[S]):
    """Decodes a JSON body into Decoded[S]."""

    def decode_bytes(self, value: bytes) -> Decoded[S]:
        """Decode the body. Raises UnsupportedMediaType, MalformedBody."""
        return _decode(self.asgi_connection, value, self.model_type)

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Need no transfer model: msgspec decodes straight into the struct."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Reference | Schema:
        """Document the struct, not the wrapper around it."""
        del field_definition, handler_id
        return schema_creator.for_field_definition(FieldDefinition.from_annotation(cls.model_type))


def _decode(connection: ASGIConnection[Any, Any, Any, Any], body: bytes, shape: type[S]) -> Decoded[S]:
    _check_media_type(connection)
    return decode_json(body, shape)


def _check_media_type(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    content_type = connection.headers.get("Content-Type", "application/json")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"Content-Type must be application/json, got {media_type}")
