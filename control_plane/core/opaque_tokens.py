"""Opaque tokens: a tenant's id and 32 random bytes, of which only the SHA-256 is stored.

The tenant's id says behind which wall the token is to be looked for; it is no secret. A prefix tells
one kind of token from another, so that none is taken for what it is not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import uuid
from typing import Final

RANDOM_BYTES: Final = 32
_BODY_BYTES: Final = 16 + RANDOM_BYTES


def make_token(prefix: str, tenant_id: uuid.UUID) -> str:
    """Draw a new token."""
    return prefix + base64.urlsafe_b64encode(tenant_id.bytes + secrets.token_bytes(RANDOM_BYTES)).decode()


def read_tenant(token: str, prefix: str) -> uuid.UUID | None:
    """Give the tenant that a token names; None for what cannot be a token of this kind."""
    if not token.startswith(prefix) or not token.isascii():
        return None
    try:
        body = base64.urlsafe_b64decode(token.removeprefix(prefix))
    except binascii.Error:
        return None
    return uuid.UUID(bytes=body[:16]) if len(body) == _BODY_BYTES else None


def hash_token(token: str) -> bytes:
    """Give what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
