"""Answer what people ask of traffic, from sums: totals, by time, by what is known of visitors, as a funnel.

`db`: in a transaction with one snapshot, so that the parts of an answer agree. A range lies on quarters
of an hour (ranges.py), so traffic_slots covers it exactly. Values are summed by day (UTC) only::

    |  piece: rows  |  whole days: sums of traffic_days  |  piece: rows, taken off  |

Nothing here checks that a link or a project is the caller's: whoever names the topic has looked.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from control_plane.core.page import cut_keys
from control_plane.db.pool import plan_each_time
from control_plane.domains.analytics import store
from control_plane.domains.analytics.errors import CampaignNotFound
from control_plane.domains.analytics.model import (
    Breakdown,
    Bucket,
    Counts,
    Figures,
    FunnelStep,
    Revenue,
    Topic,
    Totals,
    ValueFigures,
    VariantFigures,
)
from control_plane.domains.analytics.ranges import cover_days, cut_range
from control_plane.domains.traffic.model import Dimension, SubjectKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from typing import TypeAlias

    from control_plane.core.page import Stretch, StretchRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.analytics.model import (
        Aspect,
        CampaignFigures,
        FunnelStepName,
        Interval,
        Measure,
        Range,
    )

    Ranking: TypeAlias = tuple[list[ValueFigures], ValueFigures, int]
    """(the first values, all others as one, how many others)"""

COUNTS: Final = Counts.__struct_fields__
TOTALS: Final = Totals.__struct_fields__
NOTHING: Final = Figures(Totals(), [])
MONEY: Final = ("sales", "gross_minor", "upsold_minor", "refunded_minor", "commission_minor")


async def find_campaign(
    db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID, campaign_id: uuid.UUID
) -> Topic:
    """Find a campaign of a project. Raises CampaignNotFound."""
    name = await store.fetch_campaign(db, tenant_id, project_id, campaign_id)
    if name is None:
        raise CampaignNotFound
    return Topic(
        tenant_id=tenant_id,
        kind=SubjectKind.CAMPAIGN,
        id=campaign_id,
        project_id=project_id,
        campaign=name,
    )


async def list_campaigns(
    db: Connection, tenant_id: uuid.UUID, project_id: uuid.UUID, span: Range, request: StretchRequest
) -> Stretch[CampaignFigures]:
    """List the campaigns of a project by name, with their figures in `span`."""
    total = await store.count_campaigns(db, tenant_id, project_id)
    keys: list[uuid.UUID] = []
    if request.offset < total:
        keys = await store.find_campaigns(db, tenant_id, project_id, request)
    stretch = cut_keys(keys, request, total)
    return stretch.fill(await store.sum_campaigns(db, tenant_id, stretch.items, span))


async def sum_up(db: Connection, topic: Topic, span: Range) -> Figures:
    """Give the figures of a topic in a range."""
    return _add_figures((await store.sum_by_variant(db, topic, span)).values())


async def sum_up_link(db: Connection, topic: Topic, span: Range) -> tuple[Figures, list[VariantFigures]]:
    """Give the figures of a link, and those of each variant: all that it has, and had if they had traffic."""
    figures = await store.sum_by_variant(db, topic, span)
    return _add_figures(figures.values()), await _label_variants(db, topic, figures)


async def list_buckets(db: Connection, topic: Topic, span: Range, interval: Interval) -> list[Bucket]:
    """Give the figures of every hour, day, week or month of a range, empty ones too. Raises Invalid."""
    starts = cut_range(span, interval)
    figures = await store.sum_by_bucket(db, topic, span, starts)
    edges = [moment.astimezone(span.zone) for moment in (*starts, span.until)]
    return [Bucket(start, until, one) for start, until, one in zip(edges, edges[1:], figures, strict=False)]


async def break_down(  # noqa: PLR0913  whose, when, by what, and which part of it
    db: Connection, topic: Topic, span: Range, aspect: Aspect, *, sort: Measure, limit: int
) -> Breakdown:
    """Give the first `limit` values by a measure, and what the others and the unknown come to."""
    await plan_each_time(db)  # a plan for any dimension and days takes ten times as long
    figures = await store.sum_by_variant(db, topic, span)
    total = _add_figures(figures.values())
    whole = ValueFigures(None, _read_counts(total.totals), total.revenue)
    if aspect == "variant":
        items, other, other_values = await _rank_variants(db, topic, figures, sort, limit)
    else:
        dimension = Dimension[aspect.upper()]
        items, other, other_values = await _rank_values(db, topic, dimension, span, sort, limit)
    unknown = _take_off(whole, [*items, other])
    return Breakdown(items=items, other=other, other_values=other_values, unknown=unknown, total=whole)


async def build_funnel(db: Connection, topic: Topic, span: Range) -> list[FunnelStep]:
    """Give the steps from visits (of projects and campaigns) over clicks and checkouts to sales."""
    totals = (await sum_up(db, topic, span)).totals
    counted: list[tuple[FunnelStepName, int, int | None]] = [
        ("visits", totals.visits, totals.human_visits),
        ("clicks", totals.clicks, totals.humans),
        ("checkouts", totals.checkouts, None),
        ("sales", totals.sales, None),
    ]
    if topic.kind is SubjectKind.LINK:
        del counted[0]
    steps: list[FunnelStep] = []
    sizes = [count if humans is None else humans for _name, count, humans in counted]
    for place, (name, count, humans) in enumerate(counted):
        steps.append(
            FunnelStep(
                name=name,
                count=count,
                humans=humans,
                rate_of_previous=_divide(sizes[place], sizes[place - 1]) if place else None,
                rate_of_first=_divide(sizes[place], sizes[0]) if place else None,
            )
        )
    return steps


async def _label_variants(
    db: Connection, topic: Topic, figures: dict[uuid.UUID, Figures]
) -> list[VariantFigures]:
    """Put labels to variants: those that there are, with figures or not, then others that have some."""
    labels = await store.list_variants(db, topic.tenant_id, topic.id)
    return [
        VariantFigures(variant_id, labels.get(variant_id), figures.get(variant_id, NOTHING))
        for variant_id in dict.fromkeys([*labels, *figures])
    ]


async def _rank_variants(
    db: Connection, topic: Topic, figures: dict[uuid.UUID, Figures], sort: Measure, limit: int
) -> Ranking:
    values = [
        ValueFigures(str(one.variant_id), _read_counts(one.figures.totals), one.figures.revenue, one.label)
        for one in await _label_variants(db, topic, figures)
    ]
    values.sort(key=lambda one: -getattr(one.counts, sort))
    rest = values[limit:]
    other = ValueFigures(
        None, _add_counts(one.counts for one in rest), _add_money(one.revenue for one in rest)
    )
    return values[:limit], other, len(rest)


async def _rank_values(  # noqa: PLR0913, PLR0917  as break_down
    db: Connection, topic: Topic, dimension: Dimension, span: Range, sort: Measure, limit: int
) -> Ranking:
    cover = cover_days(span)
    ranked = await store.rank_values(db, topic, dimension, cover, sort=sort, limit=limit)
    named = [one for one in ranked if one.value is not None]
    rest = [one for one in ranked if one.value is None]
    values = [one.value for one in named if one.value is not None]
    money = await store.sum_money_of_values(db, topic, dimension, cover, values)
    items = [ValueFigures(one.value, one.counts, money.get(one.value, [])) for one in named]
    other = ValueFigures(None, _add_counts(one.counts for one in rest), money.get(None, []))
    return items, other, sum(one.values for one in rest)


def _read_counts(totals: Totals) -> Counts:
    """Leave out what values are not counted by."""
    return Counts(**{name: getattr(totals, name) for name in COUNTS})


def _add_figures(parts: Iterable[Figures]) -> Figures:
    listed = list(parts)
    totals = Totals(**{name: sum(getattr(one.totals, name) for one in listed) for name in TOTALS})
    return Figures(totals, _add_money(one.revenue for one in listed))


def _add_counts(parts: Iterable[Counts]) -> Counts:
    listed = list(parts)
    return Counts(**{name: sum(getattr(one, name) for one in listed) for name in COUNTS})


def _add_money(parts: Iterable[list[Revenue]], sign: int = 1) -> list[Revenue]:
    """Add up money by currency, in order of its code; `sign` -1 gives what is to be taken off."""
    sums: dict[str, dict[str, int]] = {}
    for one in itertools.chain.from_iterable(parts):
        amounts = sums.setdefault(one.currency, dict.fromkeys(MONEY, 0))
        for name in MONEY:
            amounts[name] += sign * getattr(one, name)
    return [Revenue(currency=currency, **amounts) for currency, amounts in sorted(sums.items())]


def _take_off(whole: ValueFigures, parts: list[ValueFigures]) -> ValueFigures:
    """Give what is left of `whole` without `parts`: money of nothing is left out."""
    counted = _add_counts(one.counts for one in parts)
    counts = Counts(**{name: getattr(whole.counts, name) - getattr(counted, name) for name in COUNTS})
    money = _add_money([whole.revenue, _add_money((one.revenue for one in parts), -1)])
    return ValueFigures(None, counts, [one for one in money if not one.is_nothing])


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None
