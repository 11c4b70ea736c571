from __future__ import annotations

import multiprocessing
import os
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge.counters import OLDEST_UNLANDED_MS, Counter
from edge.journal import Journal, JournalFullError
from edge.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1 << 10


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return open_spool(tmp_path)


def open_spool(folder: Path, *, segments: int = 100) -> Spool:
    return Spool(folder / "journals", segment_bytes=16 * KIB, budget_bytes=segments * 16 * KIB)


def serve(journal: Journal, clicks: int) -> None:
    for number in range(clicks):
        journal.append(b"%d" % number)
        journal.counters.values[Counter.SERVED] += 1


def land(journal: Journal) -> None:
    journal.cut()
    journal.mark_landed(1 << 40)


def read_served(spool: Spool) -> int:
    return spool.read_state().values[Counter.SERVED]


class TestAdoption:
    def test_dead_journals_are_taken_over_once_and_living_ones_never(
        self, spool: Spool, tmp_path: Path
    ) -> None:
        living, dead = spool.open_journal(), spool.open_journal()
        serve(dead, 3)
        dead.close()
        (adopted,) = spool.adopt_dead()
        assert adopted.journal_id == dead.journal_id
        assert [cut.events for cut in adopted.unshipped] == [3]
        assert open_spool(tmp_path).adopt_dead() == []
        living.close()

    def test_what_cannot_be_opened_does_not_keep_others_from_being_adopted(self, spool: Spool) -> None:
        bad, good = spool.open_journal(), spool.open_journal()
        serve(good, 1)
        bad.close()
        good.close()
        (bad.folder / "lock").unlink()
        (bad.folder / "lock").mkdir()
        assert [journal.journal_id for journal in spool.adopt_dead()] == [good.journal_id]

    def test_folders_that_are_no_journals_are_left_alone(self, spool: Spool, tmp_path: Path) -> None:
        (tmp_path / "journals" / "notes").mkdir()
        (tmp_path / "journals" / "file").write_text("x")
        assert spool.adopt_dead() == []
        assert spool.read_state().journals == 0


class TestTotals:
    def test_they_include_living_dead_and_retired_journals(self, spool: Spool) -> None:
        living, dead, retired = (spool.open_journal() for _ in range(3))
        serve(living, 1)
        serve(dead, 2)
        serve(retired, 4)
        dead.close()
        land(retired)
        assert read_served(spool) == 7
        spool.retire(retired)
        assert not retired.folder.exists()
        state = spool.read_state()
        assert state.values[Counter.SERVED] == 7
        assert state.values[Counter.LANDED] == 4
        assert state.journals == 2
        assert state.used_bytes == 2 * 16 * KIB

    def test_the_oldest_unlanded_event_of_all_journals_is_shown(self, spool: Spool) -> None:
        journals = [spool.open_journal() for _ in range(3)]
        assert spool.read_state().oldest_unlanded_ms == 0
        for journal, since in zip(journals, (500, 0, 300), strict=True):
            journal.counters.values[OLDEST_UNLANDED_MS] = since
        assert spool.read_state().oldest_unlanded_ms == 300

    @pytest.mark.parametrize("step", ["before", "after"])
    def test_dying_while_retiring_neither_doubles_nor_drops(
        self, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        first, second = spool.open_journal(), spool.open_journal()
        serve(first, 2)
        serve(second, 3)
        land(first)
        land(second)

        def die(*_arguments: object) -> None:
            raise InterruptedError

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "_write_totals" if step == "before" else "_delete", die)
            with pytest.raises(InterruptedError):
                spool.retire(first)
        first.close()
        assert read_served(spool) == 5
        survivor = open_spool(tmp_path)
        (adopted,) = survivor.adopt_dead()
        survivor.retire(second)  # the one that dropped out last is named no more
        assert read_served(survivor) == 5
        survivor.retire(adopted)
        assert read_served(survivor) == 5
        assert survivor.read_state().journals == 0
        assert [path.name for path in (tmp_path / "journals").iterdir() if path.is_dir()] == []

    def test_dying_in_the_middle_of_a_deletion_is_made_up_for(self, spool: Spool, tmp_path: Path) -> None:
        first, second = spool.open_journal(), spool.open_journal()
        serve(first, 2)
        serve(second, 3)
        for journal in (first, second):
            land(journal)
        spool.retire(first)
        rest = tmp_path / "journals" / f"{first.journal_id}.doomed"
        rest.mkdir()
        (rest / "counters").write_bytes(second.folder.joinpath("counters").read_bytes())
        assert read_served(spool) == 5
        assert spool.adopt_dead() == []
        spool.retire(second)
        assert not rest.exists()
        assert read_served(spool) == 5

    def test_a_journal_that_another_worker_added_up_and_deleted_is_not_added_again(
        self, spool: Spool
    ) -> None:
        journal, other = spool.open_journal(), spool.open_journal()
        serve(journal, 2)
        land(journal)
        totals = spool._read_totals()
        totals.add(journal.counters.snapshot())
        totals.last = journal.journal_id
        spool._write_totals(totals)  # whoever did this died before it deleted the folder
        spool.retire(other)
        assert not journal.folder.exists()
        spool.retire(journal)
        assert read_served(spool) == 2

    def test_they_never_fall_or_double_while_workers_die_and_retire(
        self, spool: Spool, tmp_path: Path
    ) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_live_and_die, args=(tmp_path, number)) for number in range(3)]
        for worker in workers:
            worker.start()
        seen = [0]
        while any(worker.is_alive() for worker in workers):
            seen.append(read_served(spool))
        assert all(worker.exitcode == 0 for worker in workers)
        assert seen == sorted(seen)
        for journal in spool.adopt_dead():
            spool.retire(journal)
        assert read_served(spool) == 3 * 20 * 5
        assert spool.read_state().journals == 0

    @pytest.mark.parametrize("content", [b"", b"\0" * 50, b'{"last": 5}'])
    def test_totals_that_cannot_be_read_start_anew(
        self, spool: Spool, tmp_path: Path, content: bytes
    ) -> None:
        journal = spool.open_journal()
        serve(journal, 2)
        (tmp_path / "journals" / "totals").write_bytes(content)
        assert read_served(spool) == 2
        land(journal)
        spool.retire(journal)
        assert read_served(spool) == 2

    @pytest.mark.parametrize("counters", [1, len(Counter) + 2])
    def test_totals_of_another_version_are_read(self, spool: Spool, tmp_path: Path, counters: int) -> None:
        content = msgspec.json.encode({"last": "", "values": [7] * counters})
        (tmp_path / "journals" / "totals").write_bytes(content)
        assert len(spool.read_state().values) >= len(Counter)
        journal = spool.open_journal()
        serve(journal, 2)
        assert read_served(spool) == 9
        land(journal)
        spool.retire(journal)
        assert read_served(spool) == 9


def _live_and_die(folder: Path, number: int) -> None:
    """Twenty lives of a worker: five clicks each, then its journal is left to whoever is quickest."""
    spool = open_spool(folder)
    for _ in range(20):
        journal = spool.open_journal()
        serve(journal, 5)
        land(journal)
        if number == 0:
            spool.retire(journal)
        else:
            journal.close()
        for adopted in spool.adopt_dead():
            spool.retire(adopted)


class TestBudget:
    def test_all_journals_share_it(self, tmp_path: Path) -> None:
        spool = open_spool(tmp_path, segments=3)
        first, second = spool.open_journal(), spool.open_journal()
        fill(first)
        assert spool.read_state().used_bytes == 3 * 16 * KIB
        with pytest.raises(JournalFullError, match="budget"):
            fill_once(second)
        assert spool.read_state().used_bytes == 3 * 16 * KIB

    def test_a_budget_used_up_by_a_dead_worker_is_free_again_when_its_events_have_landed(
        self, tmp_path: Path
    ) -> None:
        dead = open_spool(tmp_path, segments=2).open_journal()
        fill(dead)
        dead.close()
        spool = open_spool(tmp_path, segments=2)
        journal = spool.open_journal()
        with pytest.raises(JournalFullError):
            journal.append(b"x")
        (adopted,) = spool.adopt_dead()
        land(adopted)
        spool.retire(adopted)
        spool._full_until = 0.0
        journal.append(b"x")

    def test_measuring_survives_journals_that_vanish(self, tmp_path: Path) -> None:
        spool = open_spool(tmp_path)
        ended = threading.Event()

        def come_and_go() -> None:
            other = open_spool(tmp_path)
            while not ended.is_set():
                journal = other.open_journal()
                land(journal)
                other.retire(journal)

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            for _ in range(500):
                assert spool.allows(0)
                spool.read_state()
        finally:
            ended.set()
            thread.join()


def fill_once(journal: Journal) -> None:
    for number in range(200):
        journal.append(os.urandom(500))
        if number % 10 == 0:
            journal.cut()


def fill(journal: Journal) -> None:
    with pytest.raises(JournalFullError, match="budget"):
        fill_once(journal)
