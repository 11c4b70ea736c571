"""What a journal keeps, in which pieces, and when it lets go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.events import encode_event, find_arrival_ms
from edge.counters import Counter
from edge.journal import CHUNK_BYTES, JournalFullError
from edge.segment import SEGMENT_HEADER
from tests.edge.factories import make_click
from tests.edge.journals import (
    KIB,
    MIB,
    adopt,
    create,
    list_chunks,
    list_events,
    list_segments,
    payload,
    readopt,
    ship_all,
)

if TYPE_CHECKING:
    from pathlib import Path


class TestRoundTrip:
    def test_what_was_appended_is_in_the_chunks_in_order(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        for number in range(10):
            journal.append(payload(number))
            if number % 4 == 3:
                assert journal.cut()
        assert [cut.events for cut in journal.unshipped] == [4, 4]
        assert journal.has_uncut_events
        assert journal.cut()
        assert not journal.cut()
        assert [(cut.sequence, cut.events, cut.events_until) for cut in journal.unshipped] == [
            (1, 4, 4),
            (2, 4, 8),
            (3, 2, 10),
        ]
        assert list_events(journal) == [payload(number) for number in range(10)]

    def test_the_same_chunks_come_out_after_adopting(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=64 * KIB)
        for number in range(1000):
            journal.append(payload(number))
            if number % 37 == 0:
                journal.cut()
        journal.cut()
        before = list_chunks(journal)
        adopted = readopt(journal)
        assert list_chunks(adopted) == before
        assert list_chunks(readopt(adopted)) == before
        assert len({cut.segment for cut in adopted.unshipped}) > 3
        assert adopted.damage == []

    def test_what_was_not_cut_becomes_the_last_chunk_and_stays_it(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        journal.append(payload(1))
        journal.cut()
        journal.append(payload(2))
        journal.append(payload(3))
        adopted = readopt(journal)
        chunks = list_chunks(adopted)
        assert [(chunk.sequence, chunk.events) for chunk in chunks] == [(1, 1), (2, 2)]
        assert not adopted.has_uncut_events
        assert list_chunks(readopt(adopted)) == chunks

    def test_an_empty_journal_is_adopted_empty(self, tmp_path: Path) -> None:
        adopted = readopt(create(tmp_path))
        assert adopted.is_empty
        assert adopted.find_oldest_ms() == 0

    def test_a_journal_without_files_is_adopted_empty(self, tmp_path: Path) -> None:
        assert adopt(tmp_path).is_empty

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.one_of(st.integers(1, 20 * KIB), st.just("cut"), st.just("land"), st.just("ship")), max_size=60
        )
    )
    def test_any_history_is_kept_until_it_lands(self, tmp_path: Path, history: list[int | str]) -> None:
        journal = create(tmp_path, segment_bytes=48 * KIB)
        appended: list[bytes] = []
        landed = 0
        for number, step in enumerate(history):
            if isinstance(step, int):
                appended.append(b"%d" % number + b"x" * step)
                journal.append(appended[-1])
            elif step == "cut":
                journal.cut()
            elif step == "ship":
                ship_all(journal)
            elif journal.in_flight:
                cut = journal.in_flight[len(journal.in_flight) // 2]
                landed = cut.events_until
                journal.mark_landed(cut.sequence)
        adopted = readopt(journal)
        found = list_events(adopted)
        assert found == appended[len(appended) - len(found) :]
        assert len(found) >= len(appended) - landed
        assert adopted.damage == []
        adopted.close()


class TestSizes:
    def test_a_chunk_is_cut_when_it_is_full(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=2 * MIB)
        for number in range(700):
            journal.append(payload(number, 1000))
        journal.cut()
        sizes = [cut.end - cut.start for cut in journal.unshipped]
        assert len(sizes) == 3
        assert all(size <= CHUNK_BYTES for size in sizes)
        assert sum(cut.events for cut in journal.unshipped) == 700

    def test_a_chunk_lies_in_one_segment(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        for number in range(200):
            journal.append(payload(number, 500))
        journal.cut()
        assert len(list_segments(journal)) > 5
        assert all(cut.end <= 16 * KIB for cut in journal.unshipped)
        assert list_events(journal) == [payload(number, 500) for number in range(200)]

    def test_an_event_larger_than_a_chunk_goes_alone(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        large = payload(2, CHUNK_BYTES + 1000)
        for event in (payload(1), large, payload(3)):
            journal.append(event)
        journal.cut()
        assert [cut.events for cut in journal.unshipped] == [1, 1, 1]
        assert list_events(journal) == [payload(1), large, payload(3)]
        assert list_events(readopt(journal)) == [payload(1), large, payload(3)]

    def test_an_event_larger_than_a_segment_is_refused_and_harms_nothing(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        journal.append(payload(1))
        with pytest.raises(JournalFullError, match="larger than a segment"):
            journal.append(payload(2, 16 * KIB))
        journal.append(payload(3))
        journal.cut()
        assert list_events(journal) == [payload(1), payload(3)]

    def test_an_event_that_just_fits_into_a_segment_is_taken(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        largest = 16 * KIB - SEGMENT_HEADER.size - 8 - 16
        journal.append(payload(1, largest))
        with pytest.raises(JournalFullError):
            journal.append(payload(2, largest + 1))
        assert list_events(readopt(journal)) == [payload(1, largest)]


class TestLanding:
    def test_segments_go_when_all_of_their_chunks_have_landed(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        for number in range(100):
            journal.append(payload(number, 500))
        journal.cut()
        ship_all(journal)
        first = [cut.sequence for cut in journal.in_flight if cut.segment == 1]
        journal.mark_landed(first[-1] - 1)
        assert "00000001.seg" in list_segments(journal)
        journal.mark_landed(first[-1])
        assert list_segments(journal)[0] == "00000002.seg"
        journal.mark_landed(journal.in_flight[-1].sequence)
        assert journal.is_empty
        assert len(list_segments(journal)) == 1
        assert journal.in_flight_bytes == 0

    def test_a_segment_that_is_old_goes_when_all_of_it_has_landed(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        (first,) = list_segments(journal)
        journal.renew_segment(age_s=0)
        assert list_segments(journal) == [first], "nothing is in it"
        journal.append(payload(1))
        journal.renew_segment(age_s=0)
        journal.cut()
        ship_all(journal)
        journal.renew_segment(age_s=0)
        assert list_segments(journal) == [first], "it has not landed"
        journal.mark_landed(1)
        journal.renew_segment(age_s=3600)
        assert list_segments(journal) == [first], "it is not old"
        journal.renew_segment(age_s=0)
        assert first not in list_segments(journal)
        journal.append(payload(2))
        adopted = readopt(journal)
        assert list_events(adopted) == [payload(2)]
        assert adopted.unshipped[0].sequence == 2

    def test_counters_follow(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        values = journal.counters.values
        for number in range(3):
            journal.append(payload(number))
            journal.append(payload(number))
            journal.cut()
        journal.mark_shipped(journal.unshipped[0], b"1-0")
        journal.mark_shipped(journal.unshipped[0], b"2-0")
        journal.mark_landed(1)
        counters = (Counter.JOURNALED, Counter.SHIPPED, Counter.LANDED)
        assert [values[counter] for counter in counters] == [6, 4, 2]
        journal.ship_again({2})
        adopted = readopt(journal)
        values = adopted.counters.values
        assert [values[counter] for counter in counters] == [6, 4, 2]
        adopted.mark_landed(3)
        assert [values[counter] for counter in counters] == [6, 6, 6]

    def test_chunks_that_landed_before_they_were_shipped_again_are_let_go(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        for number in range(3):
            journal.append(payload(number))
            journal.cut()
        ship_all(journal)
        journal.ship_again({1, 2, 3})
        assert journal.in_flight_bytes == 0
        journal.mark_landed(2)
        assert [cut.sequence for cut in journal.unshipped] == [3]

    def test_what_is_shipped_again_keeps_its_segment_though_later_chunks_are_in_flight(
        self, tmp_path: Path
    ) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        for number in range(40):
            journal.append(payload(number, 500))
        journal.cut()
        ship_all(journal)
        in_second = next(cut.sequence for cut in journal.in_flight if cut.segment == 2)
        journal.ship_again(set(range(1, in_second)))
        ship_all(journal)
        for number in range(40):  # on to the third segment: what has landed is let go
            journal.append(payload(number, 500))
        assert "00000001.seg" in list_segments(journal)
        assert [cut.sequence for cut in journal.in_flight] == sorted(
            cut.sequence for cut in journal.in_flight
        )
        journal.mark_landed(1)
        assert len(list_events(journal)) == 80 - journal.counters.values[Counter.LANDED] - (
            journal._events - journal._cut_events
        )

    def test_the_oldest_event_is_the_first_that_has_not_landed(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        clicks = [make_click() for _ in range(3)]
        for click in clicks:
            journal.append(encode_event(click))
            journal.cut()
        assert journal.find_oldest_ms() == find_arrival_ms(clicks[0])
        journal.mark_shipped(journal.unshipped[0], b"1-0")
        journal.mark_landed(1)
        assert journal.find_oldest_ms() == find_arrival_ms(clicks[1])
        journal.mark_landed(3)
        assert journal.find_oldest_ms() == 0

    def test_an_event_of_a_newer_version_does_not_stop_anyone(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        journal.append(b"\x92\xa1?\x01")
        journal.cut()
        assert journal.find_oldest_ms() == 0


class TestSync:
    def test_segments_are_synced_while_others_land(self, tmp_path: Path) -> None:
        journal = create(tmp_path, segment_bytes=16 * KIB)
        journal.sync()
        for number in range(100):
            journal.append(payload(number, 500))
        journal.cut()
        ship_all(journal)
        journal.mark_landed(journal.in_flight[-1].sequence)
        journal.sync()
        assert journal._synced_until == journal._current

    def test_a_disk_that_fails_is_told(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        journal.sync()
        (journal.folder / "00000001.seg").unlink()
        (journal.folder / "00000001.seg").symlink_to("00000001.seg")
        with pytest.raises(OSError, match="symbolic links"):
            journal.sync()
