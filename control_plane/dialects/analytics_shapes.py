"""Sums of traffic as every dialect shows them: what is asked for in the query, and what comes out.

Moments are in the time zone that was asked for, money is decimal text, a rate is a number from 0 to 1.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.dialects.schemas import Moment
from control_plane.domains.analytics.model import (
    Aspect,
    Counts,
    FunnelStepName,
    Interval,
    Measure,
    Range,
    SiteAspect,
)
from control_plane.domains.analytics.ranges import MOST_BUCKETS, MOST_DAYS, settle_range
from control_plane.domains.traffic.model import SubjectKind
from edge.contract.money import format_amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from control_plane.core.faults import Fault
    from control_plane.domains.analytics.model import (
        Breakdown,
        Bucket,
        CampaignFigures,
        Figures,
        FunnelStep,
        Revenue,
        Topic,
        ValueFigures,
        VariantFigures,
    )

MOST_VALUES: Final = 100

FromText: TypeAlias = Annotated[
    str,
    Meta(
        description="Beginning of the range: a date, or an ISO 8601 date-time at a whole quarter of an hour; "
        f"30 days before its end by default, {MOST_DAYS} at most"
    ),
]
ToText: TypeAlias = Annotated[
    str,
    Meta(
        description="End of the range: a date, which is included, or a date-time, which is not; the end of "
        "today by default"
    ),
]
TimezoneName: TypeAlias = Annotated[
    str,
    Meta(
        description="Time zone of IANA, such as Europe/Berlin: of dates and date-times without offset, and "
        "of the days and hours in the answer"
    ),
]
ValueCount: TypeAlias = Annotated[
    int, Meta(ge=1, le=MOST_VALUES, description="Number of values; the others are one row")
]
SortMeasure: TypeAlias = Annotated[Measure, Meta(description="What values are ranked by, the most first")]
RangeStart: TypeAlias = Annotated[Moment, Meta(description="Beginning, included")]
RangeEnd: TypeAlias = Annotated[Moment, Meta(description="End, not included")]
Amount: TypeAlias = Annotated[str, Meta(description="Decimal number with the currency's decimals")]


class RangeQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which stretch of time."""

    from_: FromText | UnsetType = msgspec.field(name="from", default=UNSET)
    to: ToText | UnsetType = UNSET
    timezone: TimezoneName | UnsetType = "UTC"


class SeriesQueryIn(RangeQueryIn, frozen=True, kw_only=True):
    """Which stretch of time, cut into what."""

    interval: (
        Annotated[
            Interval,
            Meta(
                description=f"Length of a bucket; there are at most {MOST_BUCKETS}. Weeks begin on Mondays."
            ),
        ]
        | UnsetType
    ) = "day"


class LinkBreakdownQueryIn(RangeQueryIn, frozen=True, kw_only=True):
    """By what, and which part of it."""

    by: Annotated[Aspect, Meta(description="What traffic is broken down by")] | UnsetType
    limit: ValueCount | UnsetType = 10
    sort: SortMeasure | UnsetType = "clicks"


class SiteBreakdownQueryIn(RangeQueryIn, frozen=True, kw_only=True):
    """By what, and which part of it: projects and campaigns have no variants."""

    by: Annotated[SiteAspect, Meta(description="What traffic is broken down by")] | UnsetType
    limit: ValueCount | UnsetType = 10
    sort: SortMeasure | UnsetType = "clicks"


class RateOut(msgspec.Struct, frozen=True):
    """A rate, with the interval that it lies in with 95 % confidence (Wilson)."""

    value: float
    low: float
    high: float


class RevenueOut(msgspec.Struct, frozen=True, kw_only=True):
    """Money in one currency, counted when the click that brought it was. net = gross + upsells - refunds."""

    currency: str
    sales: Annotated[int, Meta(description="Completed sales")]
    gross: Amount
    upsells: Amount
    refunds: Amount
    net: Amount
    commission: Amount


class TrafficOut(msgspec.Struct, frozen=True, kw_only=True):
    """How much traffic, and what it brought."""

    clicks: Annotated[int, Meta(description="Clicks on links, bots included")]
    uniques: Annotated[int, Meta(description="Clicks that were their visitor's first of the day (UTC)")]
    humans: Annotated[int, Meta(description="Clicks without those of bots")]
    human_uniques: Annotated[int, Meta(description="Unique clicks without those of bots")]
    conversions: Annotated[int, Meta(description="Clicks that converted, counted at the moment of the click")]
    human_conversions: Annotated[int, Meta(description="Clicks that converted, without those of bots")]
    visits: (
        Annotated[int, Meta(description="Page visits, bots included; of projects and campaigns")] | UnsetType
    ) = UNSET
    human_visits: Annotated[int, Meta(description="Page visits without those of bots")] | UnsetType = UNSET
    conversion_rate: (
        Annotated[RateOut, Meta(description="human_conversions / humans; null where there are none")] | None
    )
    revenue: list[RevenueOut]


class TotalsOut(TrafficOut, frozen=True, kw_only=True):
    """Everything that is counted."""

    page_clicks: Annotated[int, Meta(description="Clicks on elements of a project's pages")] | UnsetType = (
        UNSET
    )
    checkouts: int
    sales: int


class VariantTotalsOut(TotalsOut, frozen=True, kw_only=True):
    """Everything that is counted of a variant; those that the link no longer has come last."""

    id: uuid.UUID
    label: str | None


class CampaignOut(TotalsOut, frozen=True, kw_only=True):
    """Everything that is counted of a campaign. `name`: its utm_campaign, the first 255 characters."""

    id: uuid.UUID
    name: str


class BucketOut(TotalsOut, frozen=True, kw_only=True):
    """Everything that is counted in an hour, day, week or month."""

    from_: RangeStart = msgspec.field(name="from")
    to: RangeEnd


class ValueOut(TrafficOut, frozen=True, kw_only=True):
    """Traffic of one value."""

    value: Annotated[str, Meta(description="For variants, the id")]
    label: Annotated[str, Meta(description="Of a variant")] | UnsetType | None = UNSET


class OtherOut(TrafficOut, frozen=True, kw_only=True):
    """Traffic of all values that came after the first ones."""

    values: Annotated[int, Meta(description="How many values these are")]


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a funnel. Rates compare counts, humans' where they are known, so they may be above 1."""

    name: FunnelStepName
    count: int
    humans: Annotated[int, Meta(description="Without bots; null where nothing tells them apart")] | None
    rate_of_previous: float | None
    rate_of_first: float | None


class RangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch of time that an answer is about."""

    from_: RangeStart = msgspec.field(name="from")
    to: RangeEnd
    timezone: str


class AnalyticsOut(RangeOut, frozen=True, kw_only=True):
    """Everything that is counted."""

    totals: TotalsOut


class LinkAnalyticsOut(AnalyticsOut, frozen=True, kw_only=True):
    """Everything that is counted of a link, and of each of its variants."""

    variants: list[VariantTotalsOut]


class SeriesOut(RangeOut, frozen=True, kw_only=True):
    """Buckets from the first to the last, empty ones too; they add up to the range's totals."""

    interval: Interval
    items: list[BucketOut]


class BreakdownOut(RangeOut, frozen=True, kw_only=True):
    """Traffic by value: total = all items + other + unknown."""

    by: Aspect
    sort: Measure
    items: list[ValueOut]
    other: OtherOut
    unknown: Annotated[TrafficOut, Meta(description="Where there was no value")]
    total: TrafficOut


class FunnelOut(RangeOut, frozen=True, kw_only=True):
    """From visits (of projects and campaigns) over clicks and checkouts to sales."""

    steps: list[StepOut]


Q = TypeVar("Q", bound=RangeQueryIn)


def read_query(
    parameters: Mapping[str, str], shape: type[Q], now: datetime, *, faults: Sequence[Fault] = ()
) -> tuple[Q, Range]:
    """Read what is asked for: (query, range). Raises Invalid with every fault, `faults` among them."""
    query = decode_parameters(parameters, shape)
    start, until, timezone = query.value.from_, query.value.to, query.value.timezone
    span, range_faults = settle_range(
        None if start is UNSET else start,
        None if until is UNSET else until,
        "UTC" if timezone is UNSET else timezone,
        now,
    )
    if found := [*faults, *query.faults, *range_faults]:
        raise Invalid(found)
    return query.value, span


def show_analytics(figures: Figures, topic: Topic, span: Range) -> AnalyticsOut:
    """Shape the figures of a project or campaign."""
    return AnalyticsOut(totals=TotalsOut(**_show_figures(figures, topic.kind)), **_show_range(span))


def show_link_analytics(
    figures: Figures, variants: Sequence[VariantFigures], topic: Topic, span: Range
) -> LinkAnalyticsOut:
    """Shape the figures of a link."""
    return LinkAnalyticsOut(
        totals=TotalsOut(**_show_figures(figures, topic.kind)),
        variants=[
            VariantTotalsOut(id=one.variant_id, label=one.label, **_show_figures(one.figures, topic.kind))
            for one in variants
        ],
        **_show_range(span),
    )


def show_campaign(campaign: CampaignFigures) -> CampaignOut:
    """Shape a campaign with its figures."""
    shown = _show_figures(campaign.figures, SubjectKind.CAMPAIGN)
    return CampaignOut(id=campaign.id, name=campaign.name, **shown)


def show_series(buckets: Sequence[Bucket], topic: Topic, interval: Interval, span: Range) -> SeriesOut:
    """Shape the buckets of a range."""
    items = [
        BucketOut(from_=one.start, to=one.until, **_show_figures(one.figures, topic.kind)) for one in buckets
    ]
    return SeriesOut(interval=interval, items=items, **_show_range(span))


def show_breakdown(
    breakdown: Breakdown, topic: Topic, aspect: Aspect, sort: Measure, span: Range
) -> BreakdownOut:
    """Shape traffic by value. Labels are shown of variants only, which alone have some."""
    labelled = aspect == "variant"
    return BreakdownOut(
        by=aspect,
        sort=sort,
        items=[
            ValueOut(
                value=one.value or "", label=one.label if labelled else UNSET, **_show_value(one, topic.kind)
            )
            for one in breakdown.items
        ],
        other=OtherOut(values=breakdown.other_values, **_show_value(breakdown.other, topic.kind)),
        unknown=TrafficOut(**_show_value(breakdown.unknown, topic.kind)),
        total=TrafficOut(**_show_value(breakdown.total, topic.kind)),
        **_show_range(span),
    )


def show_range(span: Range) -> RangeOut:
    """Shape a range by itself."""
    return RangeOut(**_show_range(span))


def show_funnel(steps: Sequence[FunnelStep], span: Range) -> FunnelOut:
    """Shape the steps of a funnel."""
    return FunnelOut(steps=[StepOut(**msgspec.structs.asdict(step)) for step in steps], **_show_range(span))


def _show_range(span: Range) -> dict[str, Any]:
    start, until = (moment.astimezone(span.zone) for moment in (span.start, span.until))
    return {"from_": start, "to": until, "timezone": span.zone.key}


def _show_figures(figures: Figures, kind: SubjectKind) -> dict[str, Any]:
    """Give the fields of a TotalsOut."""
    totals = figures.totals
    shown = _show_traffic(totals, figures.revenue, kind)
    shown |= {"checkouts": totals.checkouts, "sales": totals.sales}
    return shown | ({"page_clicks": totals.page_clicks} if kind is SubjectKind.PROJECT else {})


def _show_value(value: ValueFigures, kind: SubjectKind) -> dict[str, Any]:
    """Give the fields of a TrafficOut."""
    return _show_traffic(value.counts, value.revenue, kind)


def _show_traffic(counts: Counts, revenue: Sequence[Revenue], kind: SubjectKind) -> dict[str, Any]:
    rate = counts.conversion_rate
    shown = {name: getattr(counts, name) for name in Counts.__struct_fields__}
    if kind is SubjectKind.LINK:
        shown |= {"visits": UNSET, "human_visits": UNSET}
    return shown | {
        "conversion_rate": None if rate is None else RateOut(rate.value, rate.low, rate.high),
        "revenue": [_show_revenue(one) for one in revenue],
    }


def _show_revenue(revenue: Revenue) -> RevenueOut:
    currency = revenue.currency
    return RevenueOut(
        currency=currency,
        sales=revenue.sales,
        gross=format_amount(revenue.gross_minor, currency),
        upsells=format_amount(revenue.upsold_minor, currency),
        refunds=format_amount(revenue.refunded_minor, currency),
        net=format_amount(revenue.net_minor, currency),
        commission=format_amount(revenue.commission_minor, currency),
    )
