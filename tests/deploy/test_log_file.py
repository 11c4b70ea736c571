from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy import log_file
from deploy.log_file import LogFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-22 10:00:00 [error    ] worker_task_died",
        '{"event": "boom", "level": "error"}',
        "Traceback (most recent call last):",
        "[ERROR] Unexpected exit from worker-1",
        'FATAL:  password authentication failed for user "switchyard"',
        "PANIC:  could not write to file",
    ],
)
def test_alarming_line_is_shown_once(tmp_path: Path, line: str) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open() as file:
        file.write(f"{line}\n".encode())
    assert log.read_alarms() == [line]
    assert log.read_alarms() == []


@pytest.mark.parametrize(
    "line",
    [
        "[info     ] resync_finished errors=0",
        "[warning  ] work_failed error='ConnectionError'",
        "FATAL:  the database system is starting up",
        "ERROR:  duplicate key value violates unique constraint",
    ],
)
def test_everyday_line_is_not_shown(tmp_path: Path, line: str) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open() as file:
        file.write(f"{line}\n".encode())
    assert log.read_alarms() == []


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open() as file:
        file.write(b"[error ] disk ")
        file.flush()
        assert log.read_alarms() == []
        file.write(b"on fire\n")
    assert log.read_alarms() == ["[error ] disk on fire"]


def test_flood_is_cut(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    with log.open() as file:
        file.write(b"[error ] again\n" * 50)
    shown = log.read_alarms()
    assert shown[:3] == ["[error ] again"] * 3
    assert shown[3:] == [f"… and 47 more such lines in {tmp_path / 'a.log'}"]


def test_lines_of_an_earlier_run_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("[error ] long ago\n")
    assert LogFile(tmp_path / "a.log").read_alarms() == []


def test_large_log_is_rotated_under_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_BYTES", 100)
    log = LogFile(tmp_path / "a.log")
    with log.open() as file:
        file.write(b"x" * 150 + b"\n")
        file.flush()
        log.read_alarms()
        file.write(b"[error ] after\n")
    assert (tmp_path / "a.log.1").stat().st_size == 151
    assert (tmp_path / "a.log").read_text() == "[error ] after\n"
    assert log.read_alarms() == ["[error ] after"]


def test_tail_has_no_colours(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("first\n\x1b[31mlast\x1b[0m\n")
    assert LogFile(tmp_path / "a.log").tail(1) == f"Last lines of {tmp_path / 'a.log'}:\n  last"
