"""Journals that a crash, a power cut or a bad disk left behind."""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.events import split_frames
from edge.counters import Counter
from edge.segment import SEGMENT_HEADER
from tests.edge.journals import (
    KIB,
    adopt,
    create,
    list_bodies,
    list_chunks,
    list_events,
    list_segments,
    payload,
    readopt,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edge.journal import Journal


class TestDamage:
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Journal:
        journal = create(tmp_path, segment_bytes=4 * KIB)
        for number in range(12):
            journal.append(payload(number, 100 + number))
            if number % 3 == 2:
                journal.cut()
        journal.append(payload(12))
        journal.close()
        return journal

    def copy(self, journal: Journal, to: Path) -> Path:
        folder = to / uuid.uuid4().hex
        shutil.copytree(journal.folder, folder)
        return folder

    def test_a_file_cut_anywhere_gives_the_good_prefix_and_is_reported(
        self, journal: Journal, tmp_path: Path
    ) -> None:
        whole = adopt(journal.folder)
        events, bodies = list_events(whole), list_bodies(whole)
        whole.close()
        folder = self.copy(journal, tmp_path)
        content = (folder / "00000001.seg").read_bytes()
        written = len(content.rstrip(b"\0"))
        for length in [*range(written + 3), 4 * KIB - 1]:
            (folder / "00000001.seg").write_bytes(content[:length])
            torn = adopt(folder)
            found = list_events(torn)
            assert found == events[: len(found)]
            whole_chunks = len(found) // 3
            assert list_bodies(torn)[:whole_chunks] == bodies[:whole_chunks]
            assert torn.damage
            torn.find_oldest_ms()
            torn.close()

    @settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_a_flipped_bit_gives_the_good_prefix_and_is_reported(
        self, journal: Journal, tmp_path: Path, data: st.DataObject
    ) -> None:
        folder = self.copy(journal, tmp_path)
        path = folder / "00000001.seg"
        content = bytearray(path.read_bytes())
        written = len(content.rstrip(b"\0")) - 1
        position = data.draw(st.integers(0, written))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        damaged = adopt(folder)
        found = list_events(damaged)
        expected = [payload(number, 100 + number) for number in range(12)] + [payload(12)]
        assert found == expected[: len(found)]
        assert damaged.damage
        values = damaged.counters.values
        assert values[Counter.CUT_SHORT] == sum("lost" not in damage for damage in damaged.damage)
        assert values[Counter.JOURNALED] - values[Counter.LOST] == len(found)
        before = 0
        for number, event in enumerate(expected):  # everything before the flipped bit is there
            before += 8 + len(event) + (16 if number % 3 == 2 else 0)
            if SEGMENT_HEADER.size + before <= position:
                assert len(found) > number
        again = readopt(damaged)
        assert list_events(again) == found
        again.close()
        shutil.rmtree(folder)

    def test_garbage_and_foreign_files_are_survived(self, journal: Journal, tmp_path: Path) -> None:
        folder = self.copy(journal, tmp_path)
        (folder / "00000002.seg").write_bytes(os.urandom(5000))
        (folder / "00000003.seg").write_bytes(b"")
        (folder / "00000004.seg").write_bytes(bytes(5000))
        (folder / "notes.seg").write_bytes(b"x")
        adopted = adopt(folder)
        assert len(list_events(adopted)) == 13
        assert adopted.damage == ["00000002.seg: not a journal segment"]
        adopted.close()

    @pytest.mark.parametrize("byte", [0, 100, 4 * KIB, 12 * KIB])
    def test_behind_damage_in_an_earlier_segment_every_chunk_keeps_its_name(
        self, tmp_path: Path, byte: int
    ) -> None:
        """No sequence may be missing either: behind a gap nothing ever counts as landed."""
        journal = create(tmp_path, segment_bytes=16 * KIB)
        for number in range(100):
            journal.append(payload(number, 500))
            if number % 5 == 4:
                journal.cut()
        before = list_chunks(journal)
        assert len(list_segments(journal)) > 3
        journal.close()
        with (journal.folder / "00000002.seg").open("r+b") as file:
            file.seek(byte)
            file.write(b"\xaa" * 16)
        for _ in range(2):
            adopted = adopt(journal.folder)
            chunks = list_chunks(adopted)
            assert [chunk.sequence for chunk in chunks] == [chunk.sequence for chunk in before]
            changed = [new for old, new in zip(before, chunks, strict=True) if new != old]
            intact = {event for chunk in before for event in split_frames(chunk.body)}
            assert {event for chunk in changed for event in split_frames(chunk.body)} < intact
            assert changed[-1].events == 0
            assert {cut.segment for cut in adopted.unshipped if cut.events} >= {1, 3, 4}
            adopted.find_oldest_ms()
            adopted.close()
        adopted = adopt(journal.folder)
        adopted.mark_landed(len(before))
        assert adopted.is_empty
        values = adopted.counters.values
        assert values[Counter.LANDED] == sum(chunk.events for chunk in chunks)
        assert values[Counter.JOURNALED] == 100
        adopted.close()

    def test_behind_an_unreadable_first_segment_too(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        for number in range(100):
            journal.append(payload(number, 500))
            journal.cut()
        journal.close()
        (journal.folder / "00000001.seg").write_bytes(b"\xaa" * 16 * KIB)
        adopted = adopt(journal.folder)
        assert [cut.sequence for cut in adopted.unshipped] == list(range(1, 101))
        assert 0 < sum(cut.events for cut in adopted.unshipped) < 100
        adopted.close()
