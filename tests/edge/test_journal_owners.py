"""A journal belongs to one process, and outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from pathlib import Path

from edge.contract.events import encode_event
from edge.counters import Counter
from edge.journal import Journal
from edge.segment import SEGMENT_HEADER
from tests.edge.factories import make_click
from tests.edge.journals import adopt, create, list_events, list_segments, payload, readopt
from tests.support import eventually


class TestOwners:
    def test_the_journal_of_a_living_owner_is_left_alone(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        assert Journal.adopt(journal.folder) is None
        journal.close()
        assert Journal.adopt(journal.folder) is not None

    def test_of_two_processes_one_adopts(self, tmp_path: Path) -> None:
        for _ in range(5):
            journal = create(tmp_path)
            journal.append(payload(1))
            journal.close()
            children = [_spawn(_ADOPT, str(journal.folder)) for _ in range(2)]
            for child in children:
                _tell(child, "go")
            said = sorted(_hear(child) for child in children)
            assert said == ["adopted 1", "alive"]
            for child in children:
                _tell(child, "end")
                assert child.wait(10) == 0

    async def test_every_event_of_a_killed_process_is_there(self, tmp_path: Path) -> None:
        for round_ in range(5):
            folder = tmp_path / uuid.uuid4().hex
            child = _spawn(_APPEND, str(folder))
            log = folder.with_suffix(".log")
            await eventually(lambda log=log: log.exists() and log.stat().st_size > 3000 * (round_ + 1))  # type: ignore[misc]  # noqa: B023  bound at once
            child.send_signal(signal.SIGKILL)
            child.wait(10)
            *printed, _torn = log.read_bytes().split(b"\n")
            adopted = adopt(folder)
            found = list_events(adopted)
            assert found[: len(printed)] == [line + b"." * 300 for line in printed]
            assert len(found) <= len(printed) + 2
            adopted.close()


class TestWhatIsLost:
    """The owner has counted what it served; what is not there any more, nobody waits for."""

    def damage(self, folder: Path) -> Journal:
        journal = create(folder)
        for _ in range(5):
            journal.append(encode_event(make_click()))
            journal.counters.values[Counter.SERVED] += 1
        journal.cut()
        for _ in range(3):
            journal.append(encode_event(make_click()))
            journal.counters.values[Counter.SERVED] += 1
        with (journal.folder / "00000001.seg").open("r+b") as segment:
            segment.seek(journal._start + 20)  # in the sixth event
            segment.write(b"?!")
        return readopt(journal)

    def test_events_behind_damage_are_counted_and_reported(self, tmp_path: Path) -> None:
        adopted = self.damage(tmp_path)
        values = adopted.counters.values
        assert len(list_events(adopted)) == 5
        assert (values[Counter.JOURNALED], values[Counter.LOST], values[Counter.CUT_SHORT]) == (8, 3, 1)
        assert "3 of 8 events are lost" in adopted.damage

    def test_they_are_counted_once(self, tmp_path: Path) -> None:
        adopted = self.damage(tmp_path)
        adopted.mark_landed(1)
        again = readopt(adopted)
        assert again.damage == []
        values = again.counters.values
        assert values[Counter.JOURNALED] - values[Counter.LANDED] == values[Counter.LOST] == 3

    def test_a_tail_that_never_reached_the_disk_is_counted(self, tmp_path: Path) -> None:
        """After a power cut, a page that was not written reads as zeros: no record there is torn."""
        journal = create(tmp_path)
        for _ in range(4):
            journal.append(payload(1))
        journal.cut()
        with (journal.folder / list_segments(journal)[0]).open("r+b") as segment:
            segment.seek(SEGMENT_HEADER.size + 2 * 208)
            segment.write(bytes(1000))
        adopted = readopt(journal)
        assert adopted.damage == ["2 of 4 events are lost"]
        assert adopted.counters.values[Counter.CUT_SHORT] == 0

    def test_a_journal_that_landed_whole_has_lost_nothing(self, tmp_path: Path) -> None:
        journal = create(tmp_path)
        journal.append(payload(1))
        journal.cut()
        journal.mark_landed(1)
        for segment in list_segments(journal):
            (journal.folder / segment).unlink()
        adopted = readopt(journal)
        assert adopted.damage == []
        assert adopted.counters.values[Counter.LOST] == 0


_ADOPT = """
import sys
from pathlib import Path
from edge.journal import Journal
input()
journal = Journal.adopt(Path(sys.argv[1]))
print("alive" if journal is None else f"adopted {len(journal.unshipped)}", flush=True)
input()
"""

_APPEND = """
import os, sys
from pathlib import Path
from edge.journal import Journal

class Room:
    def allows(self, more_bytes):
        return True

folder = Path(sys.argv[1])
log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
journal = Journal.create(folder, segment_bytes=64 << 10, room=Room())
number = 0
while True:
    number += 1
    journal.append(b"%d" % number + b"." * 300)
    os.write(log, b"%d\\n" % number)
    if number % 50 == 0:
        journal.cut()
"""


def _spawn(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _tell(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdin is not None
    child.stdin.write(word + "\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()
