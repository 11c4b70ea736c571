"""Reads fields out of what a page or a server sent, and notes every fault, not only the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import uuid_utils

from edge.contract.money import BadMoneyError, parse_amount, parse_currency
from edge.intake.answers import Fault, make_fault, refuse_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_LENGTH: Final = 255
URL_LENGTH: Final = 2048
_MOST_BITS: Final = 1024
"""Of a number that stands where a text should: more is no id of anybody's."""


class Fields:
    """The fields of one report. `given`: by name, as they came."""

    __slots__ = ("_given", "faults")

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given
        self.faults: list[Fault] = []

    def refuse(self, name: str, rule: str, value: object = None) -> None:
        """Note a fault."""
        self.faults.append(make_fault(name, rule, value))

    def check(self) -> None:
        """Raise Refusal if there is any fault."""
        if self.faults:
            raise refuse_faults(self.faults)

    def text(self, name: str, most: int = ID_LENGTH) -> str:
        """Give a text, cut at `most` characters; "" when it was not given."""
        value = self._given.get(name)
        if value is None:
            return ""
        if type(value) is int and value.bit_length() <= _MOST_BITS:
            value = str(value)
        if type(value) is not str:
            self.refuse(name, "must be text", value)
            return ""
        if "\0" in value:
            self.refuse(name, "must not contain a NUL character", value)
            return ""
        return value[:most]

    def name(self, *names: str, is_required: bool = True) -> str:
        """Give the first id that was given of `names`; one that is too long is refused, never cut."""
        for name in names:
            value = self.text(name, ID_LENGTH + 1).strip()
            if len(value) > ID_LENGTH:
                self.refuse(name, f"must have at most {ID_LENGTH} characters", value)
                return ""
            if value:
                return value
        if is_required and not any(fault.field in names for fault in self.faults):
            self.refuse(names[0], "is required")
        return ""

    def uuid(self, name: str) -> bytes:
        """Give a UUID as its bytes; empty when it was not given."""
        value = self.text(name)
        if not value:
            return b""
        try:
            return uuid_utils.UUID(value).bytes
        except ValueError:
            self.refuse(name, "must be a UUID", value)
            return b""

    def currency(self, default: str) -> str:
        """Give the currency, by default that of the project."""
        text = self.text("currency")
        if not text:
            return default
        try:
            return parse_currency(text)
        except BadMoneyError as error:
            self.refuse("currency", str(error), text)
            return default

    def amount(self, name: str, currency: str, *, is_required: bool = False) -> int:
        """Give an amount in minor units; 0 when it was not given."""
        text = self.text(name)
        if not text:
            if is_required and not any(fault.field == name for fault in self.faults):
                self.refuse(name, "is required")
            return 0
        try:
            return parse_amount(text, currency)
        except BadMoneyError as error:
            self.refuse(name, str(error), text)
            return 0
