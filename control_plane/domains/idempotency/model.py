"""A request that its sender may repeat without doing it twice."""

from __future__ import annotations

import uuid

import msgspec


class IdempotentRequest(msgspec.Struct, frozen=True):
    """`endpoint`: which operation; a key means something else elsewhere. `key`: the sender's.

    `holder_id`: the sender, a user or an API key that acts for its whole tenant.
    `fingerprint`: SHA-256 of the decoded request, so that spelling it otherwise is no difference.
    """

    holder_id: uuid.UUID
    endpoint: str
    key: str
    fingerprint: bytes


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered. `data`: JSON. `is_repeated`: whether it was answered so before."""

    status: int
    data: bytes
    is_repeated: bool = False


class EarlierRequest(msgspec.Struct, frozen=True):
    """What a key was used for before: what was made then, or what was answered."""

    fingerprint: bytes
    resource_id: uuid.UUID | None
    answer: Answer | None
