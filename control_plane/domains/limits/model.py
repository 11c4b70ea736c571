"""A rate limit: how much is used, and when it starts anew."""

from __future__ import annotations

from datetime import datetime

import msgspec


class LimitStatus(msgspec.Struct, frozen=True):
    """Where a subject stands. `limit`, `remaining`: requests in this clock window."""

    limit: int
    remaining: int
    reset_at: datetime
