"""Journals as tests make, adopt and read them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from edge.contract.events import split_frames
from edge.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from edge.contract.events import Chunk

MIB = 1 << 20
KIB = 1 << 10


class Room:
    """Room for `segments` more segments."""

    def __init__(self, segments: int = 1000) -> None:
        self.segments = segments

    def allows(self, _more_bytes: int) -> bool:
        self.segments -= 1
        return self.segments >= 0

    def refuse_for_now(self) -> None:
        self.segments = 0


def create(folder: Path, *, segment_bytes: int = MIB, room: Room | None = None) -> Journal:
    return Journal.create(folder / uuid.uuid4().hex, segment_bytes=segment_bytes, room=room or Room())


def readopt(journal: Journal) -> Journal:
    journal.close()
    return adopt(journal.folder)


def adopt(folder: Path) -> Journal:
    adopted = Journal.adopt(folder)
    assert adopted is not None
    return adopted


def list_chunks(journal: Journal) -> list[Chunk]:
    return [journal.read_chunk(cut) for cut in [*journal.in_flight, *journal.unshipped]]


def list_bodies(journal: Journal) -> list[bytes]:
    return [chunk.body for chunk in list_chunks(journal)]


def list_events(journal: Journal) -> list[bytes]:
    return [bytes(payload) for chunk in list_chunks(journal) for payload in split_frames(chunk.body)]


def ship_all(journal: Journal) -> None:
    while journal.unshipped:
        cut = journal.unshipped[0]
        journal.mark_shipped(cut, b"%d-0" % cut.sequence)


def payload(number: int, size: int = 200) -> bytes:
    return b"%08d" % number + b"." * (size - 8)


def list_segments(journal: Journal) -> list[str]:
    return sorted(path.name for path in journal.folder.glob("*.seg"))
