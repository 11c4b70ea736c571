"""Recovery codes: ten per user, for when their device is lost; each serves once.

80 random bits need no slow hash. They are written in Crockford's base32, which has no letter that looks
like a digit, in groups of four; how they are typed in (capitals, spaces, o for 0) does not matter.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable

COUNT: Final = 10
CHARACTERS: Final = 16
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUP: Final = 4
_AS_MEANT: Final = str.maketrans("oil", "011", "- ")


def make_codes() -> tuple[str, ...]:
    """Draw a user's codes."""
    return tuple(_make_code() for _ in range(COUNT))


def hash_code(user_id: uuid.UUID, code: str) -> bytes | None:
    """Give what is stored of a user's code; None for what cannot be one."""
    plain = code.lower().translate(_AS_MEANT)
    if len(plain) != CHARACTERS or not set(plain) <= set(ALPHABET):
        return None
    return _hash(user_id, plain)


def hash_codes(user_id: uuid.UUID, codes: Iterable[str]) -> list[bytes]:
    """Give what is stored of codes that were just made."""
    return [_hash(user_id, code.replace("-", "")) for code in codes]


def _hash(user_id: uuid.UUID, plain: str) -> bytes:
    """Hash a code together with its user, so that one guess is not tried on everybody."""
    return hashlib.sha256(user_id.bytes + plain.encode()).digest()


def _make_code() -> str:
    plain = "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))
    return "-".join(plain[start : start + _GROUP] for start in range(0, CHARACTERS, _GROUP))
