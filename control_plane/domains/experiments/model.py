"""Experiments: what is compared, what was counted, what follows from it, and what was decided."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from control_plane.domains.experiments.statistics import Moments
from control_plane.domains.links.model import WinnerGoal

ALPHA: Final = 0.05
"""Share of experiments without a difference that may ever end with a winner, however often one looks."""

SPLIT_ALPHA: Final = 0.001
"""Share of honest splits that may ever be taken for skewed ones."""

HORIZON: Final = timedelta(days=90)
"""So long after its first trial an experiment that is undecided ends without a winner."""

LEAST_TRIALS: Final = 10
"""Trials that each variant needs, whatever the threshold."""

Status: TypeAlias = Literal["off", "running", "winner", "no_winner"]
Outcome: TypeAlias = Literal["winner", "no_winner"]


class Candidate(msgspec.Struct, frozen=True):
    """A variant of the link, as it is now."""

    id: uuid.UUID
    label: str
    weight: int
    is_winner: bool


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The experiment that a link is. The last three: of the rule's last look, None before the first."""

    tenant_id: uuid.UUID
    link_id: uuid.UUID
    user_id: uuid.UUID
    version: int
    is_active: bool
    routing_type: str
    auto_winner: bool
    threshold: int
    goal: WinnerGoal
    lag_hours: int
    experiment_version: int
    started_at: datetime
    looked_at: datetime | None
    counted_until: datetime | None
    first_trial_at: datetime | None
    variants: tuple[Candidate, ...]

    @property
    def lag(self) -> timedelta:
        """Give how old a click must be to count."""
        return timedelta(hours=self.lag_hours)

    @property
    def winner(self) -> Candidate | None:
        """Give the declared winner."""
        return next((variant for variant in self.variants if variant.is_winner), None)

    @property
    def compared(self) -> tuple[Candidate, ...]:
        """Give the variants that get traffic by weight."""
        return tuple(variant for variant in self.variants if variant.weight)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted for the compared variants, in their order.

    `young`: trials that are not old enough to count. `revenue`: net, in minor units of the one currency.
    `unit`: the median of the first sales; None before there are enough. `currencies`: of all sales.
    """

    counted_until: datetime
    first_trial_at: datetime | None
    young: int
    trials: tuple[int, ...]
    conversions: tuple[int, ...]
    revenue: tuple[Moments, ...]
    unit: int | None
    currencies: tuple[str, ...]


class Obstacle(msgspec.Struct, frozen=True):
    """What stands between the data and a decision. `reason`: a stable code; `message`: a sentence."""

    reason: str
    message: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One compared variant: what was counted, what is believed, and what it has shown.

    `evidence`: log e-values of its being better than each other compared variant, by label.
    Values are conversion rates, or revenue per visitor in minor units. `interval`: of the value, 95 %.
    """

    id: uuid.UUID
    label: str
    weight: int
    trials: int
    conversions: int
    rate: float
    rate_interval: tuple[float, float]
    revenue: int
    revenue_interval: tuple[float, float] | None
    chance: float | None
    loss: float | None
    evidence: dict[str, float]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule says of an experiment.

    `verdict`: None while it goes on. `split_evidence`, `needed`, `split_limit`: logarithms of e-values.
    """

    verdict: Outcome | None
    winner: Candidate | None
    reason: str
    obstacles: tuple[Obstacle, ...]
    standings: tuple[Standing, ...]
    needed: float
    split_evidence: float
    split_limit: float
    currency: str | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as stored. `review`: what the data say since, where they no longer bear it out."""

    id: uuid.UUID
    link_id: uuid.UUID
    experiment_version: int
    link_version: int | None
    decided_at: datetime
    outcome: Outcome
    reason: str
    variant_id: uuid.UUID | None
    variant_label: str | None
    goal: WinnerGoal
    decided_by: uuid.UUID | None
    data: dict[str, Any]
    review: dict[str, Any] | None = None
    reviewed_at: datetime | None = None
    reverted_at: datetime | None = None
    reverted_by: uuid.UUID | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that there is to say of a link's experiment at this moment."""

    setup: Setup
    status: Status
    counts: Counts
    judgement: Judgement
    decision: Decision | None
