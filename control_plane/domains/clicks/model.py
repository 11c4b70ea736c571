"""Clicks, as they are listed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from control_plane.core.ids import EPOCH
from control_plane.domains.traffic.model import SLOT_S

FAR_FUTURE: Final = datetime(9999, 12, 31, tzinfo=UTC)
SLOT: Final = timedelta(seconds=SLOT_S)


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """One redirect that was answered. `id`: UUIDv7, which carries the moment of the click."""

    id: uuid.UUID
    link_id: uuid.UUID
    variant_id: uuid.UUID
    reason: int
    is_prefetch: bool
    is_bot: bool
    is_conversion: bool
    ip_address: str | None
    country: str | None
    referrer: str | None
    user_agent: str | None


class Span(msgspec.Struct, frozen=True):
    """A stretch of time: from `start`, up to but without `until`."""

    start: datetime = EPOCH
    until: datetime = FAR_FUTURE

    def whole_slots(self) -> Span:
        """Give the quarters of an hour that lie wholly within; empty (start = until) when none does."""
        start = self.start + (EPOCH - self.start) % SLOT
        until = self.until - (self.until - EPOCH) % SLOT
        return Span(start, until) if start < until else Span(self.start, self.start)


EVER: Final = Span()
