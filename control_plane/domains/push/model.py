"""Web push: where the browsers of a user are reached, and the key that they know us by."""

from __future__ import annotations

import uuid

import msgspec


class SubscriptionKeys(msgspec.Struct, frozen=True):
    """What a browser wants messages encrypted for: its public key (65 bytes), and its secret (16 bytes)."""

    p256dh: bytes
    auth: bytes

    def __repr__(self) -> str:
        """Keep the secret out of logs."""
        return "SubscriptionKeys()"


class Subscription(msgspec.Struct, frozen=True):
    """A browser of a user. Whoever knows `endpoint` can send to it, but for the sender's key."""

    id: uuid.UUID
    endpoint: str
    keys: SubscriptionKeys


class SenderKey(msgspec.Struct, frozen=True):
    """The key pair that push services know us by (RFC 8292), on P-256.

    `private`: the number, 32 bytes. `public`: the point, uncompressed, 65 bytes.
    """

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        """Keep the private key out of logs."""
        return "SenderKey()"
