"""A fault: one rule that one value breaks."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

LONGEST_VALUE: Final = 80
"""Characters of a refused value that are shown; enough to recognise it."""


class Fault(msgspec.Struct, frozen=True):
    """One rule that one value breaks.

    `field`: where it stands, as in `variants[1].weight`. `rule`: what must hold, a phrase that
    follows the subject. `value`: what was given; UNSET where nothing was.
    `subject`: how the message names the field, when its path reads badly.
    """

    field: str
    rule: str
    value: object = UNSET
    subject: str = ""

    def __str__(self) -> str:
        """Say which field, which rule, which value."""
        sentence = f"{self.subject or self.field} {self.rule}"
        return sentence if self.value is UNSET else f"{sentence}, got {show(self.value)}"


def show(value: object) -> str:
    """Render a refused value as JSON, cut to a readable length."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
