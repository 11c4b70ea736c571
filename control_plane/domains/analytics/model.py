"""What is asked of the sums, and what they answer."""

from __future__ import annotations

import math
import uuid
from datetime import datetime
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from control_plane.domains.traffic.model import SubjectKind

Interval: TypeAlias = Literal["hour", "day", "week", "month"]
SiteAspect: TypeAlias = Literal[
    "country",
    "device",
    "browser",
    "os",
    "referrer_domain",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
]
"""What traffic of a project or campaign is broken down by: the dimensions of traffic_days."""

Aspect: TypeAlias = Literal[
    "country",
    "device",
    "browser",
    "os",
    "referrer_domain",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "variant",
]
"""What traffic of a link is broken down by."""

Measure: TypeAlias = Literal[
    "clicks",
    "uniques",
    "humans",
    "human_uniques",
    "conversions",
    "human_conversions",
    "visits",
    "human_visits",
]
"""What values are ranked by."""

FunnelStepName: TypeAlias = Literal["visits", "clicks", "checkouts", "sales"]

CONFIDENCE_Z: Final = 1.959963984540054
"""The standard normal deviate that 95 % lie within, either way."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A link, a project or a campaign of one.

    `project_id`: of a project, its id; of a campaign, its project's. `campaign`: its name, else None.
    """

    tenant_id: uuid.UUID
    kind: SubjectKind
    id: uuid.UUID
    project_id: uuid.UUID | None = None
    campaign: str | None = None


class Range(msgspec.Struct, frozen=True):
    """From `start`, up to but without `until`, both at whole quarters of an hour, seen from `zone`."""

    start: datetime
    until: datetime
    zone: ZoneInfo


class Proportion(msgspec.Struct, frozen=True):
    """A share, and Wilson's interval of 95 % around it."""

    value: float
    low: float
    high: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much traffic. `conversions`: clicks that converted; `humans`: clicks that are no bot's.

    `uniques`: clicks that were the first of their visitor for their link on that day (UTC), so that
    they add up over days, links and values.
    """

    clicks: int = 0
    uniques: int = 0
    humans: int = 0
    human_uniques: int = 0
    conversions: int = 0
    human_conversions: int = 0
    visits: int = 0
    human_visits: int = 0

    @property
    def conversion_rate(self) -> Proportion | None:
        """The share of humans' clicks that converted; None where there is none.

        Of clicks rather than of unique ones: every conversion is that of one click, so the rate is
        never above 1 and its interval is that of a proportion.
        """
        return estimate_proportion(self.human_conversions, self.humans)


class Totals(Counts, frozen=True, kw_only=True):
    """Everything that traffic_slots counts. `page_clicks`: clicks on elements of pages."""

    page_clicks: int = 0
    checkouts: int = 0
    sales: int = 0


class Revenue(msgspec.Struct, frozen=True, kw_only=True):
    """Money in one currency, in minor units."""

    currency: str
    sales: int
    gross_minor: int
    upsold_minor: int
    refunded_minor: int
    commission_minor: int

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was sold, nor anything changed."""
        return not any(msgspec.structs.astuple(self)[1:])

    @property
    def net_minor(self) -> int:
        """What is left: sales and upsells without what was refunded."""
        return self.gross_minor + self.upsold_minor - self.refunded_minor


class Figures(msgspec.Struct, frozen=True):
    """Traffic, and the money that it brought, by currency in order of its code."""

    totals: Totals
    revenue: list[Revenue]


class VariantFigures(msgspec.Struct, frozen=True):
    """Figures of one variant. `label`: None when the variant is no longer known."""

    variant_id: uuid.UUID
    label: str | None
    figures: Figures


class Bucket(msgspec.Struct, frozen=True):
    """Figures from `start` up to but without `until`, which are in the asker's time zone."""

    start: datetime
    until: datetime
    figures: Figures


class ValueFigures(msgspec.Struct, frozen=True):
    """Figures of one value, or of several together. `value`: None for those; a variant's is its id.

    `label`: a variant's, where it is known.
    """

    value: str | None
    counts: Counts
    revenue: list[Revenue]
    label: str | None = None


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic by value: `total` = `items` + `other` + `unknown`.

    `other`: the `other_values` values that came after the first ones. `unknown`: where there was no value.
    """

    items: list[ValueFigures]
    other: ValueFigures
    other_values: int
    unknown: ValueFigures
    total: ValueFigures


class CampaignFigures(msgspec.Struct, frozen=True):
    """A campaign of a project, with its traffic and money."""

    id: uuid.UUID
    name: str
    figures: Figures


class FunnelStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step from a visit to a sale. `humans`: without bots; None where nothing tells them apart.

    Rates compare what was counted (humans where they are known), not the ways of single visitors, so
    one may be above 1. None where there is nothing to compare with.
    """

    name: FunnelStepName
    count: int
    humans: int | None
    rate_of_previous: float | None
    rate_of_first: float | None


def estimate_proportion(successes: int, trials: int) -> Proportion | None:
    """Give the share of `trials` that are `successes`, with Wilson's interval; None without trials."""
    if trials <= 0:
        return None
    share, z2 = successes / trials, CONFIDENCE_Z**2
    centre = share + z2 / (2 * trials)
    margin = CONFIDENCE_Z * math.sqrt((share * (1 - share) + z2 / (4 * trials)) / trials)
    scale = 1 + z2 / trials
    low = 0.0 if successes == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if successes == trials else min(1.0, (centre + margin) / scale)
    return Proportion(share, low, high)
