from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.process import StartFailed
from deploy.settings_file import read_settings_file

if TYPE_CHECKING:
    from pathlib import Path


def test_values_stand_in_quotes_or_without(tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text(
        "# a comment\n; another\n\n A=1 \nB='x = y'\nC=\"it's\"\nD=\nE=redis://h:1/0?a=b # kept\n"
    )
    assert read_settings_file(path) == {
        "A": "1", "B": "x = y", "C": "it's", "D": "", "E": "redis://h:1/0?a=b # kept",
    }  # fmt: skip


@pytest.mark.parametrize("line", ["A", "1A=secret", "A B=secret", "export A=secret", "A='secret", "=secret"])
def test_a_line_that_cannot_be_read_is_named_without_its_value(tmp_path: Path, line: str) -> None:
    path = tmp_path / "edge.env"
    path.write_text(f"X=1\n{line}\n")
    with pytest.raises(
        StartFailed, match=r"edge.env, line 2: '.*' is not a name followed by =value"
    ) as failure:
        read_settings_file(path)
    assert "secret" not in str(failure.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"settings file .*missing cannot be read: .*No such file"):
        read_settings_file(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(StartFailed, match=r"settings file .*binary cannot be read"):
        read_settings_file(tmp_path / "binary")
