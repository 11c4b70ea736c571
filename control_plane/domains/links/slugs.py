"""Slugs that are made up: short, and free of characters that people mix up."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from typing import Final

ALPHABET: Final = "".join(c for c in string.digits + string.ascii_letters if c not in "0OIl1")
SLUG_LENGTH: Final = 7
"""57^7 is two trillion: at a billion links, one draw in two thousand is taken already."""

DrawSlug = Callable[[], str]


def draw_slug() -> str:
    """Draw a slug at random."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SLUG_LENGTH))
