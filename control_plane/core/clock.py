"""The time of day, as an argument: whatever needs it takes a `Clock` or a `now`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Give this moment as an aware datetime in UTC."""
    return datetime.now(UTC)
