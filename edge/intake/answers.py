"""What the intake answers: JSON that names every fault, open to pages of any origin."""

from __future__ import annotations

from typing import Final

import msgspec

from edge.request import EdgeResponse

_JSON: Final = ("content-type", "application/json")
_NO_STORE: Final = ("cache-control", "no-store")
_ANY_ORIGIN: Final = ("access-control-allow-origin", "*")
_ANY_EMBEDDER: Final = ("cross-origin-resource-policy", "cross-origin")
_READABLE: Final = ("access-control-expose-headers", "retry-after")
"""Lets scripts of other origins see when to come again."""
VALUE_LENGTH: Final = 100
"""Characters of a refused value that are repeated."""

PREFLIGHT: Final = EdgeResponse(
    204,
    [
        _ANY_ORIGIN,
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-max-age", "86400"),
    ],
)
ACCEPTED: Final = EdgeResponse(202, [_JSON, _NO_STORE, _ANY_ORIGIN], b'{"status":"accepted"}')
PIXEL: Final = EdgeResponse(
    200,
    [("content-type", "image/gif"), _NO_STORE, _ANY_ORIGIN, _ANY_EMBEDDER],
    bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"),
)
"""One transparent point."""


class Fault(msgspec.Struct, frozen=True):
    """A rule that a field breaks, in words. `value`: what was given, shortened; None for nothing."""

    field: str
    rule: str
    value: str | None


class Refusal(Exception):  # noqa: N818  an answer, not an error of ours
    """A report that is not taken. `message`: one sentence, made of the faults when there are any."""

    def __init__(
        self, status: int, code: str, message: str = "", faults: tuple[Fault, ...] = (), allow: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message or " ".join(map(_describe, faults))
        self.faults = faults
        self.allow = allow

    def describe(self) -> dict[str, object]:
        """Give the error as it is answered."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.faults:
            first = self.faults[0]
            error |= {"field": first.field, "rule": first.rule, "value": first.value}
            error["details"] = {"errors": self.faults}
        return error

    def answer(self) -> EdgeResponse:
        """Give the answer that says so."""
        headers = [_JSON, _NO_STORE, _ANY_ORIGIN]
        if self.allow:
            headers.append(("allow", self.allow))
        if self.status == 401:  # noqa: PLR2004  Unauthorized
            headers.append(("www-authenticate", "Bearer"))
        if self.status == 503:  # noqa: PLR2004  Service Unavailable
            headers.append(("retry-after", "5" if self.code == "journal_full" else "1"))
            headers.append(_READABLE)
        return EdgeResponse(self.status, headers, msgspec.json.encode({"error": self.describe()}))


def refuse_faults(faults: list[Fault]) -> Refusal:
    """Make the refusal of what has faults in it."""
    return Refusal(400, "validation_error", faults=tuple(faults))


def make_fault(field: str, rule: str, value: object = None) -> Fault:
    """Note a fault, with as much of the value as helps to find it."""
    try:
        text = None if value is None else str(value)
    except ValueError:  # a number of thousands of digits
        text = "a very long number"
    return Fault(field, rule, None if text is None else _without_surrogates(text[:VALUE_LENGTH]))


def answer_json(status: int, content: object) -> EdgeResponse:
    """Give an answer with content."""
    return EdgeResponse(status, [_JSON, _NO_STORE, _ANY_ORIGIN], msgspec.json.encode(content))


def answer_visit(visit_id: str) -> EdgeResponse:
    """Tell a page how its visit is called."""
    return EdgeResponse(200, [_JSON, _NO_STORE, _ANY_ORIGIN], b'{"visit_id":"%s"}' % visit_id.encode())


def _describe(fault: Fault) -> str:
    got = "" if fault.value is None else f", got {fault.value!r}"
    return f"{fault.field} {fault.rule}{got}."


def _without_surrogates(text: str) -> str:
    return text.encode(errors="replace").decode()


def refuse_unrecorded() -> Refusal:
    """Make the refusal of what cannot be written down."""
    return Refusal(503, "journal_full", "Reports cannot be recorded right now.")


def refuse_unavailable() -> Refusal:
    """Make the refusal of what cannot be looked up."""
    return Refusal(503, "unavailable", "The project or key cannot be looked up right now.")
