"""Bodies and queries as names with values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from edge.intake.answers import make_fault, refuse_faults

if TYPE_CHECKING:
    from edge.request import EdgeRequest

MOST_PARAMETERS: Final = 100
Given = dict[str, object]

_decode: Final = msgspec.json.Decoder(float_hook=str).decode
"""Decimals stay as they were written: money is exact."""


def decode_json(body: bytes) -> object:
    """Decode a JSON body. Raises Refusal."""
    try:
        return _decode(body)
    # ValueError: bytes that are no UTF-8, or a number of thousands of digits.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refuse_faults([make_fault("body", f"must be JSON ({error})")]) from None


def read_query(text: str, name: str = "query") -> list[tuple[str, str]]:
    """Read a query or a form. Raises Refusal."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="replace")
    except ValueError:
        raise refuse_faults([make_fault(name, f"must have at most {MOST_PARAMETERS} parameters")]) from None


def read_parameters(request: EdgeRequest) -> list[tuple[str, str]]:
    """Read what a server sent: the query, and the body as a form or as a JSON object. Raises Refusal."""
    pairs = read_query(request.query)
    if request.method != "POST" or not request.body:
        return pairs
    content_type = request.headers.get("content-type") or ""
    if "json" in content_type.lower() or request.body.lstrip().startswith(b"{"):
        return pairs + _read_object(request.body)
    return pairs + read_query(request.body.decode(errors="replace"), "body")


def _read_object(body: bytes) -> list[tuple[str, str]]:
    given = decode_json(body)
    if not isinstance(given, dict):
        raise refuse_faults([make_fault("body", "must be a JSON object")])
    pairs = []
    for name, value in given.items():
        if isinstance(value, dict | list):
            raise refuse_faults([make_fault(name, "must be text or a number", value)])
        if value is not None:
            pairs.append((name, str(value).lower() if isinstance(value, bool) else _to_text(name, value)))
    return pairs


def _to_text(name: str, value: object) -> str:
    try:
        return str(value)
    except ValueError:
        raise refuse_faults([make_fault(name, "must not have thousands of digits")]) from None
