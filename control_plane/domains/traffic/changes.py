"""Gather changes of sums, one event at a time, and merge those of one sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from control_plane.domains.traffic.model import (
    DIMENSIONS,
    VALUE_LENGTH,
    Counts,
    Dimension,
    Money,
    Subject,
    SubjectKind,
    campaign_id,
    day_of,
    day_slot_of,
    slot_of,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    SlotKey: TypeAlias = tuple[Subject, datetime]
    DayKey: TypeAlias = tuple[Subject, date, Dimension, str]
    RevenueKey: TypeAlias = tuple[Subject, Dimension, datetime, str, str]
    """(subject, dimension, slot, value, currency)"""


_NO_COUNTS: Final = Counts()

Split: TypeAlias = dict[Dimension, str]
"""What is known of an event's visitor, by dimension; what is not known is left out."""


class Changes:
    """Changes of sums that are to be written together, merged by sum."""

    def __init__(self) -> None:
        self.slots: dict[SlotKey, Counts] = {}
        self.days: dict[DayKey, Counts] = {}
        self.revenue: dict[RevenueKey, Money] = {}
        self.campaigns: dict[Subject, tuple[uuid.UUID, str]] = {}
        """Subject -> (project, name) of every campaign among the subjects."""
        self.conversions: dict[tuple[uuid.UUID, uuid.UUID, uuid.UUID], int] = {}
        """(tenant, link, variant) -> clicks that are conversions now, less those that no longer are."""

    def count(
        self, subjects: Iterable[Subject], moment: datetime, split: Split, counts: Counts, *, sign: int = 1
    ) -> None:
        """Add `counts` to the sums of `subjects`, at `moment`, or take them away (`sign` -1)."""
        slot, day = slot_of(moment), day_of(moment)
        for subject in subjects:
            slot_key = (subject, slot)
            self.slots[slot_key] = self.slots.get(slot_key, _NO_COUNTS).plus(counts, sign)
            for dimension, value in split.items():
                day_key = (subject, day, dimension, value)
                self.days[day_key] = self.days.get(day_key, _NO_COUNTS).plus(counts, sign)

    def pay(
        self, subjects: Iterable[Subject], moment: datetime, split: Split, money: Money, *, sign: int = 1
    ) -> None:
        """Add `money` to the sums of `subjects`, at `moment`, or take it away (`sign` -1)."""
        slot, day_slot, none = slot_of(moment), day_slot_of(moment), Money(money.currency)
        for subject in subjects:
            key: RevenueKey = (subject, Dimension.ALL, slot, "", money.currency)
            self.revenue[key] = self.revenue.get(key, none).plus(money, sign)
            for dimension, value in split.items():
                key = (subject, dimension, day_slot, value, money.currency)
                self.revenue[key] = self.revenue.get(key, none).plus(money, sign)

    def convert(self, variant: tuple[uuid.UUID, uuid.UUID, uuid.UUID], sign: int) -> None:
        """Count a click as a conversion of its (tenant, link, variant), or no longer (`sign` -1)."""
        self.conversions[variant] = self.conversions.get(variant, 0) + sign

    def name_campaign(self, subject: Subject, project_id: uuid.UUID, name: str) -> None:
        """Have the name of a campaign kept."""
        self.campaigns[subject] = (project_id, name)


def split_row(row: Mapping[str, object]) -> Split:
    """Give what a row of clicks or visits says of its visitor, by dimension."""
    split: Split = {}
    for dimension in DIMENSIONS:
        if value := row[dimension.name.lower()]:
            split[dimension] = str(value)[:VALUE_LENGTH]
    return split


def subjects_of(
    tenant_id: uuid.UUID,
    *,
    link: tuple[uuid.UUID, uuid.UUID] | None,
    project_id: uuid.UUID | None,
    campaign: str | None,
) -> list[Subject]:
    """Give the subjects that an event counts for.

    `link`: (link, variant) of a click of a link, or of what such a click brought. `campaign`: the event's
    utm_campaign; it counts where there is a project.
    """
    subjects = []
    if link is not None:
        subjects.append(Subject(tenant_id, SubjectKind.LINK, *link))
    if project_id is not None:
        subjects.append(Subject(tenant_id, SubjectKind.PROJECT, project_id))
        if campaign:
            name = campaign[:VALUE_LENGTH]
            subjects.append(Subject(tenant_id, SubjectKind.CAMPAIGN, campaign_id(project_id, name)))
    return subjects
