"""The texts of messages: templates/<language>/<template>.txt and .html.

The first line of a .txt is the subject. The first paragraph below it says all that matters: text messages
and notifications consist of it. Placeholders are `$name`. A later paragraph of which all placeholders are
empty is left out; a blank line ends a paragraph, in HTML as in plain text.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from pathlib import Path
from string import Template as Pattern
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from control_plane.domains.messages.model import Template

FOLDER: Final = Path(__file__).with_name("templates")
LANGUAGES: Final = ("en", "pt-BR", "es")
FALLBACK: Final = "en"

LONGEST_VALUE: Final = 2000
"""Characters of a value; what is longer is cut. Nothing that we send comes near."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANK_LINE: Final = re.compile(r"\n\s*\n")


class Text(msgspec.Struct, frozen=True):
    """A message in a language. `lead`: its first paragraph. `body`: all of it. `html`: the same as HTML."""

    subject: str
    lead: str
    body: str
    html: str


def render(template: Template, language: str, data: Mapping[str, Any]) -> Text:
    """Fill a template; languages that we do not have become English."""
    language = language if language in LANGUAGES else FALLBACK
    values = {name: _show(value) for name, value in data.items()}
    subject, lead, *more = _fill(_read(language, f"{template}.txt"), values, kept=2)
    fragments = _fill(_read(language, f"{template}.html"), values, kept=1, escape=html.escape)
    return Text(subject, lead, "\n\n".join([lead, *more]), "\n".join(fragments))


def _show(value: object) -> str:
    """Make one line of a value: it may come from a stranger, and must not add lines to a message."""
    return "" if value is None else _CONTROL.sub(" ", str(value)).strip()[:LONGEST_VALUE]


def _fill(
    paragraphs: tuple[str, ...], values: Mapping[str, str], *, kept: int, escape: Callable[[str], str] = str
) -> list[str]:
    """Fill paragraphs; the first `kept` stay even if they have nothing to say."""
    filled = []
    for number, paragraph in enumerate(paragraphs):
        pattern = Pattern(paragraph)
        names = pattern.get_identifiers()
        if number >= kept and names and not any(values.get(name) for name in names):
            continue
        filled.append(pattern.substitute({name: escape(values.get(name, "")) for name in names}))
    return filled


@lru_cache(maxsize=128)
def _read(language: str, name: str) -> tuple[str, ...]:
    text = (FOLDER / language / name).read_text(encoding="utf-8")
    return tuple(_BLANK_LINE.split(text.strip()))
