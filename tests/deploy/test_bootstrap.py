from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import bootstrap
from deploy.bootstrap import BootstrapFailed

CHECKOUT = Path(__file__).resolve().parents[2]


def make_venv(path: Path, **stamp: str) -> Path:
    """Make an environment that runs, with this stamp; no library is in it."""
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / bootstrap.STAMP).write_text(json.dumps(stamp))
    return path


def current_stamp(*locks: str) -> dict[str, str]:
    return {lock: bootstrap.digest(lock) for lock in locks} | {
        "python": bootstrap.version_of(Path(sys.executable))
    }


class TestIsCurrent:
    def test_stamped_environment_is(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv", **current_stamp("run.txt"))
        assert bootstrap.is_current(venv, ["run.txt"])

    def test_environment_without_test_libraries_is_not_enough_for_tests(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv", **current_stamp("run.txt"))
        assert not bootstrap.is_current(venv, ["run.txt", "dev.txt"])

    def test_other_lock_is_not(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv", **current_stamp("run.txt") | {"run.txt": "0" * 64})
        assert not bootstrap.is_current(venv, ["run.txt"])

    def test_other_python_is_not(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv", **current_stamp("run.txt") | {"python": "3.10.1"})
        assert not bootstrap.is_current(venv, ["run.txt"])

    def test_interrupted_install_is_not(self, tmp_path: Path) -> None:
        assert not bootstrap.is_current(make_venv(tmp_path / "venv"), ["run.txt"])

    def test_python_that_is_gone_is_not(self, tmp_path: Path) -> None:
        venv = make_venv(tmp_path / "venv", **current_stamp("run.txt"))
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to(tmp_path / "gone")
        assert not bootstrap.is_current(venv, ["run.txt"])


class TestInstall:
    @pytest.fixture
    def installers(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Note which installer runs instead of downloading. The environment's uv is away."""
        used: list[str] = []

        def with_pip(venv: Path, lock: str) -> None:
            bootstrap.make_venv(venv, "--without-pip")
            used.append(f"pip {lock}")

        monkeypatch.setattr(bootstrap, "install_with_pip", with_pip)
        monkeypatch.setattr("shutil.which", lambda _name: None)
        monkeypatch.delenv("SWITCHYARD_VENV", raising=False)
        return used

    def test_uses_pip_without_uv(self, tmp_path: Path, installers: list[str]) -> None:
        bootstrap.install(tmp_path / "a venv", ["run.txt", "dev.txt"])
        assert installers == ["pip dev.txt"]
        assert bootstrap.is_current(tmp_path / "a venv", ["run.txt", "dev.txt"])

    @pytest.mark.parametrize(("exit_code", "expected"), [(0, []), (1, ["pip run.txt"])])
    def test_prefers_uv_and_falls_back_to_pip(
        self,
        tmp_path: Path,
        installers: list[str],
        monkeypatch: pytest.MonkeyPatch,
        exit_code: int,
        expected: list[str],
    ) -> None:
        uv = tmp_path / "uv"
        uv.write_text(f"#!/bin/sh\necho \"$@\" > '{tmp_path}/called'\nexit {exit_code}\n")
        uv.chmod(0o755)
        monkeypatch.setattr("shutil.which", lambda _name: str(uv))
        bootstrap.install(tmp_path / "venv", ["run.txt"])
        assert "--require-hashes" in (tmp_path / "called").read_text()
        assert installers == expected
        assert bootstrap.is_current(tmp_path / "venv", ["run.txt"])

    def test_what_an_interrupted_install_left_is_replaced(
        self, tmp_path: Path, installers: list[str]
    ) -> None:
        venv = make_venv(tmp_path / "venv")
        (venv / "half a library").write_text("")
        bootstrap.install(venv, ["run.txt"])
        assert len(installers) == 1
        assert not (venv / "half a library").exists()

    def test_foreign_environment_is_never_replaced(
        self, tmp_path: Path, installers: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "precious").write_text("")
        monkeypatch.setenv("SWITCHYARD_VENV", str(tmp_path))
        with pytest.raises(BootstrapFailed, match="was not made by Switchyard"):
            bootstrap.install(tmp_path, ["run.txt"])
        assert (tmp_path / "precious").exists()
        assert installers == []

    def test_failure_of_pip_is_told_in_its_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "requirements").mkdir()
        (tmp_path / "requirements" / "run.txt").write_text("this is no requirement\n")
        monkeypatch.setattr(bootstrap, "CHECKOUT", tmp_path)
        with pytest.raises(BootstrapFailed, match="Invalid requirement"):
            bootstrap.install_with_pip(tmp_path / "venv", "run.txt")
        assert bootstrap.read_stamp(tmp_path / "venv") == {}


class TestScript:
    def run(self, script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin"} | environment
        return subprocess.run(
            [script, "up"], env=environment, cwd="/", capture_output=True, text=True, check=False
        )

    def test_runs_through_a_link_at_a_path_with_a_space(self, tmp_path: Path) -> None:
        link = tmp_path / "my link"
        (tmp_path / "hop").symlink_to(CHECKOUT / "switchyard")
        link.symlink_to("hop")
        python = tmp_path / "python 3"
        python.write_text('#!/bin/sh\n[ "$1" = -I ] && echo "would run $2 with $3"\nexit 0\n')
        python.chmod(0o755)
        answer = self.run(link, SWITCHYARD_PYTHON=str(python))
        assert answer.stdout == f"would run {CHECKOUT}/deploy/bootstrap.py with up\n"

    def test_without_a_python_says_what_is_needed(self, tmp_path: Path) -> None:
        for tool in ("dirname", "readlink"):
            (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
        answer = self.run(CHECKOUT / "switchyard", PATH=str(tmp_path))
        assert answer.returncode == 2
        assert "needs Python 3.11 or newer" in answer.stderr

    def test_closed_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        venv = str(tmp_path / "file" / "venv")
        answer = self.run(CHECKOUT / "switchyard", SWITCHYARD_PYTHON=sys.executable, SWITCHYARD_VENV=venv)
        assert answer.returncode == 2
        assert f"{tmp_path}/file cannot be used" in answer.stderr
