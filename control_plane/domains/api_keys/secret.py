"""Draws API keys; edge/contract/key_format.py says what they are made of."""

from __future__ import annotations

import secrets

from edge.contract.key_format import ALPHABET, RANDOM_CHARACTERS, checksum


def make_secret(prefix: str) -> str:
    """Draw a new key."""
    body = prefix + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + checksum(body)
