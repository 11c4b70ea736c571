from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from deploy.data_folder import DataFolder, Demo, Ready, State
from deploy.process import StartFailed

if TYPE_CHECKING:
    from pathlib import Path

READY = Ready(
    api_url="http://127.0.0.1:8000",
    edge_url="http://127.0.0.1:8080",
    api_key="key",
    token="token",
    demo_link="http://127.0.0.1:8080/demo",
    database_url="postgresql://",
    redis_url="redis://",
    processes={"api": 1},
)


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    secrets = DataFolder(tmp_path).read_secrets()
    assert len(secrets.jwt_secret) >= 32
    assert DataFolder(tmp_path).read_secrets() == secrets
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


def test_folders_do_not_share_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert DataFolder(tmp_path / "a").read_secrets() != DataFolder(tmp_path / "b").read_secrets()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    demo = Demo(uuid.uuid4(), "key", uuid.uuid4(), "slug")
    folder.write_demo(demo)
    folder.write_ready(READY)
    assert folder.read_demo() == demo
    assert folder.read_ready() == READY
    folder.clear_ready()
    assert folder.read_ready() is None


def test_one_stack_at_a_time(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.open()
    with pytest.raises(StartFailed, match=r"Another \./switchyard up runs on"):
        second.open()
    first.close()
    second.close()
    second.open()
    second.close()


def test_copy_of_a_folder_cannot_share_its_servers(tmp_path: Path) -> None:
    servers = tmp_path / "servers"
    servers.mkdir()
    first, second = DataFolder(tmp_path / "a"), DataFolder(tmp_path / "b")
    for folder in (first, second):
        folder.open()
    assert first.place_servers(State(servers=str(servers))) == servers
    with pytest.raises(StartFailed, match=r"Another \./switchyard up runs on"):
        second.place_servers(State(servers=str(servers)))
    first.close()
    second.close()


def test_database_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="was kept in /nowhere/servers, which is gone"):
        DataFolder(tmp_path).place_servers(State(servers="/nowhere/servers"))


def test_killed_stack_leaves_its_mark(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.write_ready(READY)
    folder.open()
    assert folder.was_killed
    assert folder.read_ready() is None
    folder.close()


def test_newer_layout_is_refused(tmp_path: Path) -> None:
    DataFolder(tmp_path).write_state(State(layout=99))
    folder = DataFolder(tmp_path)
    with pytest.raises(StartFailed, match="has layout 99, this Switchyard knows 1: start a newer version"):
        folder.open()
    folder.close()


def test_garbled_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("{")
    with pytest.raises(StartFailed, match=r"/secrets cannot be read: Input data was truncated"):
        DataFolder(tmp_path).read_secrets()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="Not a directory"):
        DataFolder(tmp_path / "file" / "var").open()
