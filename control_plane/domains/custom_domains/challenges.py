"""Challenges: what a domain has to show so that it is its tenant's, in the DNS or in a file.

    _switchyard-challenge.go.acme.com TXT "switchyard-verification=<token>"
    http://go.acme.com/.well-known/switchyard-challenge/<file> switchyard-verification=<token>

The token is random, and of one tenant and one domain. The file's name does not tell it, so that a
server that repeats what it is asked for proves nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

TOKEN_BYTES: Final = 24
RECORD_LABEL: Final = "_switchyard-challenge"
FILE_FOLDER: Final = "/.well-known/switchyard-challenge"
FILE_NAME_CHARACTERS: Final = 32


def draw_token() -> str:
    """Draw a token: 192 random bits in hexadecimal."""
    return secrets.token_hex(TOKEN_BYTES)


def proof_of(token: str) -> str:
    """Give the text that proves a domain."""
    return f"switchyard-verification={token}"


def record_name(domain: str) -> str:
    """Give the name of the TXT record."""
    return f"{RECORD_LABEL}.{domain}"


def file_path(token: str) -> str:
    """Give the path of the file."""
    return f"{FILE_FOLDER}/{hashlib.sha256(token.encode()).hexdigest()[:FILE_NAME_CHARACTERS]}"


def file_url(domain: str, token: str) -> str:
    """Give the URL of the file."""
    return f"http://{domain}{file_path(token)}"
