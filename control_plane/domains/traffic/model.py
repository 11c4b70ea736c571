"""Sums over clicks, visits and conversions, and the changes that are added to them.

A change is signed: what is counted elsewhere from now on is taken away here and added there. Whoever
writes or changes rows adds the changes in the same transaction, so sums and rows always agree.
"""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from control_plane.core.ids import EPOCH

NO_VARIANT: Final = uuid.UUID(int=0)
"""The variant of sums that are not by variant."""

SLOT_S: Final = 900
"""A quarter of an hour: the days of every time zone begin with one."""

VALUE_LENGTH: Final = 255
"""Characters of a dimension's value."""


class SubjectKind(enum.IntEnum):
    """What sums are of."""

    LINK = 1
    PROJECT = 2
    CAMPAIGN = 3


class Dimension(enum.IntEnum):
    """What is known of a visitor, that sums are split by. ALL: not split."""

    ALL = 0
    COUNTRY = 1
    DEVICE = 2
    BROWSER = 3
    OS = 4
    REFERRER_DOMAIN = 5
    UTM_SOURCE = 6
    UTM_MEDIUM = 7
    UTM_CAMPAIGN = 8
    UTM_CONTENT = 9
    UTM_TERM = 10


DIMENSIONS: Final = tuple(Dimension)[1:]
"""Those that split; each has the name of a column of clicks and visits, in upper case."""


class Subject(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """One link's variant, project or campaign, of one tenant."""

    tenant_id: uuid.UUID
    kind: SubjectKind
    id: uuid.UUID
    variant_id: uuid.UUID = NO_VARIANT


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much is added, of each.

    `conversions`: clicks that converted, `human_conversions` those of people. `page_clicks`, `checkouts`,
    `sales` and `prefetches` are not split by dimensions.
    """

    clicks: int = 0
    uniques: int = 0
    humans: int = 0
    human_uniques: int = 0
    conversions: int = 0
    human_conversions: int = 0
    visits: int = 0
    human_visits: int = 0
    page_clicks: int = 0
    checkouts: int = 0
    sales: int = 0
    prefetches: int = 0

    def plus(self, added: Counts, sign: int) -> Counts:
        """Give the sum of both, or the difference (`sign` -1). Written out, for speed."""
        return Counts(
            self.clicks + sign * added.clicks,
            self.uniques + sign * added.uniques,
            self.humans + sign * added.humans,
            self.human_uniques + sign * added.human_uniques,
            self.conversions + sign * added.conversions,
            self.human_conversions + sign * added.human_conversions,
            self.visits + sign * added.visits,
            self.human_visits + sign * added.human_visits,
            self.page_clicks + sign * added.page_clicks,
            self.checkouts + sign * added.checkouts,
            self.sales + sign * added.sales,
            self.prefetches + sign * added.prefetches,
        )


class Money(msgspec.Struct, frozen=True):
    """How much money is added, in minor units of `currency`: net is gross + upsold - refunded."""

    currency: str
    sales: int = 0
    gross_minor: int = 0
    upsold_minor: int = 0
    refunded_minor: int = 0
    commission_minor: int = 0

    def plus(self, added: Money, sign: int) -> Money:
        """Give the sum of both, in the same currency, or the difference (`sign` -1)."""
        return Money(
            self.currency,
            self.sales + sign * added.sales,
            self.gross_minor + sign * added.gross_minor,
            self.upsold_minor + sign * added.upsold_minor,
            self.refunded_minor + sign * added.refunded_minor,
            self.commission_minor + sign * added.commission_minor,
        )


def slot_of(moment: datetime) -> datetime:
    """Give the start of the quarter of an hour that `moment` lies in."""
    seconds = int((moment - EPOCH).total_seconds())
    return datetime.fromtimestamp(seconds - seconds % SLOT_S, UTC)


def day_of(moment: datetime) -> date:
    """Give the day (UTC) that `moment` lies in."""
    return moment.astimezone(UTC).date()


def day_slot_of(moment: datetime) -> datetime:
    """Give the start of the day (UTC) that `moment` lies in: the slot of money that is split."""
    return datetime.combine(day_of(moment), datetime.min.time(), UTC)


def campaign_id(project_id: uuid.UUID, name: str) -> uuid.UUID:
    """Give the id of a project's campaign. `name`: its utm_campaign, as it was given."""
    return uuid.uuid5(project_id, name)
