"""Decode a request into a struct, and report every fault in it, not only the first.

A struct to decode into declares types and limits with msgspec, and one convention besides:
every field's type includes UnsetType. A field without a default is required; UNSET in it, as in
any other field, then means "refused, and its fault reported", so that whoever checks further
rules can look at the rest::

    class LinkIn(msgspec.Struct, frozen=True):
        name: Annotated[str, Meta(min_length=1)] | UnsetType
        slug: str | None | UnsetType = None

A body without fault costs one call of msgspec; only a faulty one is walked field by field.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, inspect

from control_plane.core.errors import DomainError, Invalid
from control_plane.core.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=msgspec.Struct)

NUL_ESCAPE: Final = b"\\u0000"
"""How JSON spells the one character that Postgres cannot store."""


class MalformedBody(DomainError):  # noqa: N818  the house names an error for what happened
    """The body is no JSON at all. `reason`: what the parser says."""

    code = "malformed_body"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The body is not valid JSON: {reason}")
        self.reason = reason


class Decoded(msgspec.Struct, Generic[S], frozen=True):
    """A struct of which the refused fields are UNSET, and their faults."""

    value: S
    faults: tuple[Fault, ...] = ()


def decode_json(body: bytes, shape: type[S]) -> Decoded[S]:
    """Decode a JSON body. Raises MalformedBody when it is not JSON."""
    if NUL_ESCAPE not in body:
        try:
            return Decoded(msgspec.json.decode(body, type=shape))
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, RecursionError) as error:
            raise MalformedBody(str(error)) from error
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from error
    return decode_document(document, shape)


def decode_document(document: object, shape: type[S]) -> Decoded[S]:
    """Decode a JSON document that is already parsed."""
    collector = _Collector(strict=True)
    value = collector.struct(document, describe_struct(shape), "")
    return Decoded(value, tuple(collector.faults))


def decode_parameters(parameters: Mapping[str, str], shape: type[S]) -> Decoded[S]:
    """Decode query parameters, whose values are all text."""
    collector = _Collector(strict=False)
    value = collector.struct(dict(parameters), describe_struct(shape), "")
    return Decoded(value, tuple(collector.faults))


def accept(decoded: Decoded[S]) -> S:
    """Give the struct if nothing in it was refused. Raises Invalid with every fault.

    For shapes without further rules: their fields need no UnsetType to mark what was refused.
    """
    if decoded.faults:
        raise Invalid(decoded.faults)
    return decoded.value


@lru_cache
def describe_struct(shape: type[msgspec.Struct]) -> inspect.StructType:
    """Give msgspec's description of a struct: its fields with their types and limits."""
    description = inspect.type_info(shape)
    assert isinstance(description, inspect.StructType)
    return description


class _Collector:
    """Walks a document along a struct's description and notes what does not fit."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.faults: list[Fault] = []

    def refuse(self, path: str, rule: str, value: object) -> Any:
        self.faults.append(Fault(path or "body", rule, value))
        return UNSET

    def struct(self, document: object, description: inspect.StructType, path: str) -> Any:
        """Build the struct. What is no object yields a struct of nothing but UNSET."""
        if not isinstance(document, dict):
            self.refuse(path, must_be(description), document)
            return description.cls(**dict.fromkeys((field.name for field in description.fields), UNSET))
        values: dict[str, object] = {}
        for field in description.fields:
            place = f"{path}.{field.encode_name}" if path else field.encode_name
            if field.encode_name in document:
                values[field.name] = self.value(document[field.encode_name], field.type, place)
            elif field.required:
                values[field.name] = self.refuse(place, "is required", UNSET)
        return description.cls(**values)

    def value(self, document: object, kind: inspect.Type, path: str) -> Any:
        plain, nullable = unwrap(kind)
        if document is None and nullable:
            return None
        if isinstance(plain, inspect.StructType):
            return self.struct(document, plain, path)
        if isinstance(plain, inspect.ListType) and isinstance(document, list):
            return self.items(document, plain, path)
        if isinstance(plain, inspect.DictType) and isinstance(document, dict):
            return self.entries(document, plain, path)
        return self.leaf(document, plain, path)

    def items(self, document: list[object], kind: inspect.ListType, path: str) -> Any:
        if len(document) > (kind.max_length or len(document)):
            return self.refuse(path, must_be(kind), len(document))
        if len(document) < (kind.min_length or 0):
            self.refuse(path, must_be(kind), len(document))
        values = [self.value(item, kind.item_type, f"{path}[{n}]") for n, item in enumerate(document)]
        return UNSET if any(value is UNSET for value in values) else values

    def entries(self, document: dict[str, object], kind: inspect.DictType, path: str) -> Any:
        if len(document) > (kind.max_length or len(document)):
            return self.refuse(path, must_be(kind), len(document))
        values = {key: self.value(item, kind.value_type, f"{path}.{key}") for key, item in document.items()}
        return UNSET if any(value is UNSET for value in values.values()) else values

    def leaf(self, document: object, kind: inspect.Type, path: str) -> Any:
        if isinstance(document, str) and "\0" in document:
            return self.refuse(path, "must not contain a NUL character", document)
        try:
            return msgspec.convert(document, annotation(kind), strict=self.strict)
        except msgspec.ValidationError:
            return self.refuse(path, must_be(kind), document)


def unwrap(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """Take metadata and null off a type: (the plain type, whether null is allowed)."""
    if isinstance(kind, inspect.Metadata):
        return unwrap(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        assert len(others) == 1, f"a field is of one type, besides null and UNSET, not {others}"
        return unwrap(others[0])[0], len(others) < len(kind.types)
    return kind, False


def annotation(kind: inspect.Type) -> Any:  # noqa: PLR0911  one return per type
    """Turn the description of a leaf back into what msgspec.convert takes."""
    match kind:
        case inspect.StrType():
            meta = msgspec.Meta(min_length=kind.min_length, max_length=kind.max_length, pattern=kind.pattern)
            return Annotated[str, meta]
        case inspect.IntType():
            return Annotated[int, msgspec.Meta(ge=kind.ge, le=kind.le)]
        case inspect.LiteralType():
            return Literal[kind.values]
        case inspect.BoolType():
            return bool
        case inspect.UUIDType():
            return uuid.UUID
        case inspect.DateTimeType():
            return Annotated[datetime, msgspec.Meta(tz=True)]
        case inspect.DateType():
            return date
        case inspect.DictType():
            return dict[str, Any]
        case inspect.ListType():
            return list[Any]
    raise TypeError(f"{kind} is not a type that a request may have")


def must_be(kind: inspect.Type) -> str:
    """Say in words what a value of this type is."""
    match kind:
        case inspect.StrType():
            pattern = f" matching {kind.pattern}" if kind.pattern else ""
            noun = f"text{_limits(' of ', kind.min_length, kind.max_length, ' characters')}{pattern}"
        case inspect.IntType():
            lead = " of " if kind.ge is None or kind.le is None else " from "
            noun = f"a whole number{_limits(lead, kind.ge, kind.le, '')}"
        case inspect.LiteralType():
            noun = f"one of {', '.join(map(repr, kind.values))}"
        case inspect.BoolType():
            noun = "true or false"
        case inspect.UUIDType():
            noun = "a UUID"
        case inspect.DateTimeType():
            noun = "a moment with its offset, as in 2026-01-31T23:59:59Z"
        case inspect.DateType():
            noun = "a date, as in 2026-01-31"
        case inspect.ListType():
            noun = f"a list{_limits(' of ', kind.min_length, kind.max_length, ' items')}"
        case inspect.DictType():
            noun = f"an object{_limits(' of ', kind.min_length, kind.max_length, ' entries')}"
        case _:
            noun = "an object"
    return f"must be {noun}"


def _limits(lead: str, low: int | None, high: int | None, noun: str) -> str:
    """Say a span: " of 3 to 32 characters"; nothing where there is no limit."""
    if low is not None and high is not None:
        return f"{lead}{low} to {high}{noun}"
    if low is not None:
        return f"{lead}at least {low}{noun}"
    return "" if high is None else f"{lead}at most {high}{noun}"
