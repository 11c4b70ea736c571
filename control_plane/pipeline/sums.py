"""What the events of a batch add to the sums, gathered before it is written.

Events that agree in all that sums are split by are counted together first: with much traffic, most do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from control_plane.domains.traffic.changes import subjects_of
from control_plane.domains.traffic.model import DIMENSIONS, SLOT_S, VALUE_LENGTH, Counts, SubjectKind

if TYPE_CHECKING:
    from control_plane.domains.traffic.changes import Changes

SLOT_MS: Final = SLOT_S * 1000


class Cell(NamedTuple):
    """What events are counted together by. `split`: a value for each of DIMENSIONS, "" or None: unknown."""

    tenant_id: bytes
    link_id: bytes
    variant_id: bytes
    project_id: bytes
    slot: int
    split: tuple[str | None, ...]


class EventSums:
    """Counts by cell, in this order.

    Clicks, uniques, humans, human uniques, visits, human visits, page clicks, prefetches.
    """

    def __init__(self) -> None:
        self.cells: dict[Cell, list[int]] = {}

    def find(self, cell: Cell) -> list[int]:
        """Give the counts of a cell, to be added to."""
        counts = self.cells.get(cell)
        if counts is None:
            counts = self.cells[cell] = [0] * 8
        return counts

    def write_into(self, changes: Changes) -> None:
        """Add all that was counted to `changes`."""
        for cell, numbers in self.cells.items():
            project_id = UUID(bytes=cell.project_id) if cell.project_id else None
            split = {
                dimension: value.replace("\0", "\N{REPLACEMENT CHARACTER}")[:VALUE_LENGTH]
                for dimension, value in zip(DIMENSIONS, cell.split, strict=True)
                if value
            }
            campaign = cell.split[_CAMPAIGN]
            subjects = subjects_of(
                UUID(bytes=cell.tenant_id),
                link=(UUID(bytes=cell.link_id), UUID(bytes=cell.variant_id)) if cell.link_id else None,
                project_id=project_id,
                campaign=campaign,
            )
            clicks, uniques, humans, human_uniques, visits, human_visits, page_clicks, prefetches = numbers
            counts = Counts(
                clicks=clicks,
                uniques=uniques,
                humans=humans,
                human_uniques=human_uniques,
                visits=visits,
                human_visits=human_visits,
                page_clicks=page_clicks,
                prefetches=prefetches,
            )
            moment = datetime.fromtimestamp(cell.slot * SLOT_S, UTC)
            changes.count(subjects, moment, split, counts)
            if project_id is not None and campaign:
                for subject in subjects:
                    if subject.kind is SubjectKind.CAMPAIGN:
                        changes.name_campaign(subject, project_id, campaign[:VALUE_LENGTH])


_CAMPAIGN: Final = next(n for n, dimension in enumerate(DIMENSIONS) if dimension.name == "UTM_CAMPAIGN")
