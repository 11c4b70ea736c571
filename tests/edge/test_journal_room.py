"""A journal whose budget or disk is used up."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from edge.journal import JournalFullError
from tests.edge.journals import KIB, MIB, Room, create, list_events, payload, readopt, ship_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestBudget:
    def test_a_budget_that_is_used_up_is_told_and_recovers_after_landing(self, tmp_path: Path) -> None:
        room = Room(2)
        journal = create(tmp_path, segment_bytes=16 * KIB, room=room)
        written = 0
        with pytest.raises(JournalFullError, match="budget"):  # noqa: PT012  the loop is what fills it
            while True:
                journal.append(payload(written, 500))
                written += 1
        assert written > 50
        with pytest.raises(JournalFullError):
            journal.append(payload(written, 500))
        assert list_events(journal) == [payload(number, 500) for number in range(written)]
        ship_all(journal)
        journal.mark_landed(journal.in_flight[-1].sequence)
        room.segments = 1
        journal.append(payload(written, 500))
        journal.cut()
        assert list_events(journal) == [payload(written, 500)]

    def test_a_full_segment_that_has_landed_makes_room_for_the_next(self, tmp_path: Path) -> None:
        """Otherwise a budget of one segment, or of one for each worker, is used up for ever."""

        class OneSegment(Room):
            def allows(self, _more_bytes: int) -> bool:
                return not list(tmp_path.glob("*/*.seg"))

        journal = create(tmp_path, segment_bytes=16 * KIB, room=OneSegment())
        with pytest.raises(JournalFullError):  # noqa: PT012  the loop is what fills it
            while True:
                journal.append(payload(0, 500))
        ship_all(journal)
        journal.mark_landed(journal.in_flight[-1].sequence)
        last = journal._sequence
        journal.append(payload(1, 500))
        journal.cut()
        assert [(cut.sequence, cut.events) for cut in journal.unshipped] == [(last, 1)]
        assert list_events(readopt(journal)) == [payload(1, 500)]

    def test_no_room_at_the_start_is_told_at_the_first_append(self, tmp_path: Path) -> None:
        room = Room(0)
        journal = create(tmp_path, room=room)
        with pytest.raises(JournalFullError):
            journal.append(b"x")
        assert not journal.has_uncut_events
        assert not journal.cut()
        room.segments = 1
        journal.append(b"x")
        journal.cut()
        assert list_events(journal) == [b"x"]

    def test_a_full_disk_refuses_and_kills_nobody(self, small_disk: Path) -> None:
        room = Room()
        journal = create(small_disk, segment_bytes=MIB, room=room)
        with pytest.raises(JournalFullError, match="No space left"):  # noqa: PT012  the loop is what fills it
            for number in range(100_000):
                journal.append(payload(number, 1000))
        assert room.segments == 0
        written = len(list_events(journal))
        assert written > 1000
        for number in range(10):  # what is mapped is reserved: it can be written on a full disk
            journal.counters.values[number] += 1
        _fill(small_disk / "filler")
        with pytest.raises(JournalFullError):
            create(small_disk)
        (small_disk / "filler").unlink()
        assert [path.name for path in small_disk.iterdir()] == [journal.journal_id]
        adopted = readopt(journal)
        assert len(list_events(adopted)) == written
        adopted.close()


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(KIB))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mount_small_disk(tmp_path) as folder:
        yield folder


@contextlib.contextmanager
def mount_small_disk(folder: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
