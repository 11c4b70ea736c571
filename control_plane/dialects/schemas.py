"""Structs as OpenAPI schemas, by msgspec's own account of them.

msgspec knows every limit that it enforces, so what is documented is what is checked.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Reference

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment in a body: RFC 3339 in UTC."""

Line: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z"
    ),
]
"""Text of one line in a body, such as a name: not blank, and without characters that end lines in mails."""

_FIELDS: Final = {field.metadata.get("alias", field.name): field.name for field in dataclasses.fields(Schema)}


class StructSchemas(OpenAPISchemaPlugin):
    """Documents msgspec structs in the place of Litestar's own plugin, which loses some limits."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Claim every struct."""
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Build the component of a struct, and of the structs in it."""
        struct = field_definition.annotation
        nested = {kind.__name__: kind for kind in _structs_in(inspect.type_info(struct))}

        def refer(name: str) -> Reference | Schema:
            return schema_creator.for_field_definition(FieldDefinition.from_annotation(nested[name]))

        schema = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        for name, value in _convert(describe_struct(struct), refer).items():
            setattr(schema, name, value)
        return schema


def describe_struct(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Give the JSON schema of a struct; those in it are references that end in their names."""
    _, components = msgspec.json.schema_components([struct])
    described: dict[str, Any] = components[struct.__name__]
    return described


def build_schema(document: dict[str, Any]) -> Schema:
    """Turn the JSON schema of a plain value into Litestar's Schema."""
    return Schema(**_convert(document, _refuse))


def _refuse(name: str) -> Schema:
    raise TypeError(f"{name} is no plain value")


def _convert(document: dict[str, Any], refer: Callable[[str], Reference | Schema]) -> dict[str, Any]:
    """Give the fields of Schema for a JSON schema."""

    def build(part: dict[str, Any]) -> Reference | Schema:
        if "$ref" in part:
            return refer(part["$ref"].rpartition("/")[2])
        return Schema(**_convert(part, refer))

    fields: dict[str, Any] = {}
    for key, value in document.items():
        if key == "properties":
            fields[key] = {name: build(part) for name, part in value.items()}
        elif key == "anyOf":
            fields["any_of"] = [build(part) for part in value]
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            fields[_FIELDS[key]] = build(value)
        else:
            fields[_FIELDS[key]] = value
    if all(isinstance(choice, str) for choice in document.get("enum", (None,))):
        fields["type"] = OpenAPIType.STRING
    return fields


def _structs_in(kind: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    """List a type's structs, however deep they stand."""
    match kind:
        case inspect.StructType():
            yield kind.cls
            for field in kind.fields:
                yield from _structs_in(field.type)
        case inspect.Metadata():
            yield from _structs_in(kind.type)
        case inspect.UnionType():
            for member in kind.types:
                yield from _structs_in(member)
        case inspect.ListType():
            yield from _structs_in(kind.item_type)
