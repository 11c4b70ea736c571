"""A request that its sender may repeat without doing it twice."""

from __future__ import annotations

import msgspec


class IdempotentRequest(msgspec.Struct, frozen=True):
    """`endpoint`: which operation; a key means something else elsewhere. `key`: the sender's.

    `fingerprint`: SHA-256 of the decoded request, so that spelling it otherwise is no difference.
    """

    endpoint: str
    key: str
    fingerprint: bytes
