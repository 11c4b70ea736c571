"""Slugs of articles, made of their titles."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

LONGEST: Final = 80
NAMELESS: Final = "article"
"""Of a title that has no letter which Latin script knows."""

_LETTERS: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
)
"""Letters of Latin script that are no plain one with an accent."""

_OTHER: Final = re.compile(r"[^a-z0-9]+")


def derive_slug(title: str) -> str:
    """Make a slug of a title: "Ação já! Øl & Straße" becomes acao-ja-ol-strasse."""
    plain = unicodedata.normalize("NFKD", title.lower().translate(_LETTERS))
    slug = _OTHER.sub("-", plain.encode("ascii", "ignore").decode().lower()).strip("-")
    return slug[:LONGEST].strip("-") or NAMELESS


def find_free(slug: str, taken: Container[str]) -> str:
    """Give the slug, or it with the first number that is free: spring, spring-2, spring-3."""
    candidate, number = slug, 1
    while candidate in taken:
        number += 1
        candidate = f"{slug}-{number}"
    return candidate
