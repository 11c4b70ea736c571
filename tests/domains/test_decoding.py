"""The collecting decoder agrees with msgspec on what is right, and names all that is wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import (
    Decoded,
    MalformedBody,
    decode_document,
    decode_json,
    decode_parameters,
)
from control_plane.core.faults import LONGEST_VALUE, Fault


class Part(msgspec.Struct, frozen=True, kw_only=True):
    label: Annotated[str, Meta(min_length=1, max_length=3)] | UnsetType
    weight: Annotated[int, Meta(ge=0, le=9)] | UnsetType | None = None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(pattern="^[a-c]+$")] | UnsetType
    parts: Annotated[list[Part], Meta(min_length=1, max_length=2)] | UnsetType
    kind: Literal["x", "y"] | UnsetType | None = "x"
    on: bool | UnsetType = False
    rules: Annotated[dict[str, str], Meta(max_length=2)] | UnsetType | None = None


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 12), st.floats(allow_nan=False), st.text("abx\0", max_size=4)
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3)
)
parts = st.fixed_dictionaries(
    {}, optional={"label": st.text("ab", max_size=4) | anything, "weight": anything, "other": anything}
)
documents = anything | st.fixed_dictionaries(
    {},
    optional={
        "name": st.text("abc", max_size=3) | anything,
        "parts": st.lists(parts | anything, max_size=3) | anything,
        "kind": st.sampled_from(["x", "y", "z", None]),
        "on": st.booleans() | anything,
        "rules": st.dictionaries(st.text("ab"), st.text("ab"), max_size=3) | anything,
    },
)


def has_nul(document: Any) -> bool:
    return "\\u0000" in msgspec.json.encode(document).decode()


@given(documents)
def test_there_are_faults_exactly_where_msgspec_refuses(document: Any) -> None:
    body = msgspec.json.encode(document)
    try:
        wanted = Decoded(msgspec.json.decode(body, type=Whole))
    except msgspec.ValidationError:
        assert decode_json(body, Whole).faults
        return
    if not has_nul(document):
        assert decode_json(body, Whole) == wanted
        assert decode_document(msgspec.json.decode(body), Whole) == wanted


@given(documents)
def test_what_is_refused_is_unset_and_what_stands_is_right(document: Any) -> None:
    decoded = decode_document(document, Whole)
    if decoded.faults:
        places = [fault.field for fault in decoded.faults]
        assert len(places) == len(set(places))
        return
    msgspec.convert(msgspec.to_builtins(decoded.value), Whole)


@given(st.binary(max_size=30))
def test_no_body_breaks_it(body: bytes) -> None:
    try:
        decode_json(body, Whole)
    except MalformedBody:
        with pytest.raises((msgspec.DecodeError, RecursionError)):
            msgspec.json.decode(body)


def test_every_fault_is_named() -> None:
    body = b'{"name": "d", "parts": [{"weight": 10}, 5], "kind": "z", "on": 1, "rules": {"a": 1}}'
    decoded = decode_json(body, Whole)
    assert [str(fault) for fault in decoded.faults] == [
        'name must be text matching ^[a-c]+$, got "d"',
        "parts[0].label is required",
        "parts[0].weight must be a whole number from 0 to 9, got 10",
        "parts[1] must be an object, got 5",
        "kind must be one of 'x', 'y', got \"z\"",
        "on must be true or false, got 1",
        "rules.a must be text, got 1",
    ]
    blank = Part(label=UNSET, weight=UNSET)
    assert decoded.value.parts == [blank, blank]


def test_long_lists_are_not_walked() -> None:
    body = msgspec.json.encode({"name": "a", "parts": [0] * 10_000, "rules": {str(n): 1 for n in range(9)}})
    assert [str(fault) for fault in decode_json(body, Whole).faults] == [
        "parts must be a list of 1 to 2 items, got 10000",
        "rules must be an object of at most 2 entries, got 9",
    ]


def test_parameters_are_text() -> None:
    class Query(msgspec.Struct, frozen=True):
        page: Annotated[int, Meta(ge=1)] | UnsetType = 1

    assert decode_parameters({"page": "7", "other": "x"}, Query).value.page == 7
    assert [str(fault) for fault in decode_parameters({"page": "7.5"}, Query).faults] == [
        'page must be a whole number of at least 1, got "7.5"'
    ]


@given(st.text(min_size=LONGEST_VALUE))
def test_values_are_shown_cut(text: str) -> None:
    assert len(str(Fault("f", "is wrong", text))) <= LONGEST_VALUE + len("f is wrong, got ")
