"""Why a visitor was, or would be, sent to a variant."""

from __future__ import annotations

import uuid
from datetime import datetime

import msgspec

from edge.contract.events import Reason


class KeptVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as it was in a version of its link."""

    id: uuid.UUID
    label: str
    url: str
    weight: int
    is_winner: bool


class KeptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it was. `winner`: id of the variant that took all traffic."""

    state: str
    routing_type: str
    geo_rules: dict[str, str] | None
    stickiness: str
    forward_query: bool
    winner: uuid.UUID | None
    variants: list[KeptVariant]


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a link, and when it was made."""

    version: int
    changed_at: datetime
    record: KeptRecord


class ExplainedClick(msgspec.Struct, frozen=True, kw_only=True):
    """What a click says of itself. Without a link: a click on an element of a page."""

    id: uuid.UUID
    link_id: uuid.UUID | None
    slug: str | None
    variant_id: uuid.UUID | None
    reason: int | None
    link_version: int | None
    country: str | None
    is_prefetch: bool
    is_bot: bool
    bot_reason: str | None
    verdict_version: int
    is_conversion: bool

    @property
    def decided_by(self) -> str | None:
        """The reason's code."""
        return None if self.reason is None else Reason(self.reason).name.lower()


class ClickExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """A click, its link as it was then, and the reason in words. `version`: None where it is not kept."""

    click: ExplainedClick
    version: KeptVersion | None
    text: str


class Step(msgspec.Struct, frozen=True):
    """One rule, in the order they are looked at. `applies`: whether it holds for this visitor."""

    name: str
    applies: bool
    why: str


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """A variant, and with what probability this visitor is sent to it."""

    id: uuid.UUID
    label: str
    destination_url: str
    weight: int
    probability: float


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """Where a visitor would be sent. `decided_by`: None where nothing redirects."""

    link_id: uuid.UUID
    version: int
    steps: list[Step]
    decided_by: str | None
    chances: list[Chance]
    bot_reason: str | None
