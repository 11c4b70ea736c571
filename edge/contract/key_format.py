"""The text of an API key: prefix, 26 random characters, and 6 that check the rest.

    klinky_live_ 7Qm2…(26) 0aX9f1
    prefix       random    CRC-32 of everything before it, in base 62

26 characters of base 62 carry 154 bits, so a plain SHA-256 is enough to store a key safely.
The checksum tells a mistyped or made-up key from a real one before anything is looked up.
"""

from __future__ import annotations

import hashlib
import string
import zlib
from typing import Final

ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARACTERS: Final = 26
CHECK_CHARACTERS: Final = 6
"""62^6 is more than 2^32: any CRC-32 fits."""


def is_well_formed(secret: str, prefix: str) -> bool:
    """Tell whether a text can be a key at all: prefix, length, alphabet, checksum."""
    if len(secret) != len(prefix) + RANDOM_CHARACTERS + CHECK_CHARACTERS:
        return False
    body, check = secret[:-CHECK_CHARACTERS], secret[-CHECK_CHARACTERS:]
    return secret.isascii() and body.startswith(prefix) and check == checksum(body)


def checksum(body: str) -> str:
    """Give the CRC-32 of a key's body in base 62, padded to CHECK_CHARACTERS."""
    number = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def hash_secret(secret: str) -> bytes:
    """Give what is stored of a key, or of a project's secret: its SHA-256. `secret`: ASCII."""
    return hashlib.sha256(secret.encode("ascii")).digest()
