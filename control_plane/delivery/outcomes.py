"""How an attempt to deliver a message can fail.

    DeliveryFailed
    ├── DeliveryDelayed    it may succeed later
    └── DeliveryRefused    it never will

`str(error)` is the reason, fit for a log: it holds no code, no token and no text of the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class DeliveryFailed(Exception):  # noqa: N818  named for what happened
    """A message was not delivered."""


class DeliveryDelayed(DeliveryFailed):
    """It may succeed later. `retry_after`: not before that, says the receiving server."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class DeliveryRefused(DeliveryFailed):
    """It never will succeed: the address is wrong, or the server has said so for good."""
