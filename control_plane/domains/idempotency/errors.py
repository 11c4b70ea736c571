"""What the idempotency domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault


class IdempotencyKeyReused(Invalid):
    """The key was used before, for another request."""

    code = "idempotency_key_reused"

    def __init__(self, key: str) -> None:
        super().__init__([Fault("Idempotency-Key", "must not be used again for another request", key)])
