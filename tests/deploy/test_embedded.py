from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from deploy.embedded import EmbeddedPostgres, EmbeddedValkey, RunningServer, make_server_folder
from deploy.process import StartFailed, spawn
from deploy.servers import await_postgres, await_redis, read_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = secrets.token_hex(16)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user can reach, with a space in its path."""
    home = Path(tempfile.mkdtemp(prefix="switchyard test "))
    home.chmod(0o711)
    yield make_server_folder(home / "the servers")
    shutil.rmtree(home)


@pytest.fixture
def postgres(folder: Path) -> Iterator[RunningServer]:
    server = RunningServer(EmbeddedPostgres(folder, PASSWORD, durable=False), folder / "postgres.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey(folder: Path) -> Iterator[RunningServer]:
    server = RunningServer(EmbeddedValkey(folder, PASSWORD), folder / "valkey.log")
    server.start()
    yield server
    server.stop()


async def execute(url: str, statement: str) -> str:
    db = await asyncpg.connect(url)
    try:
        return await db.execute(statement)
    finally:
        await db.close()


class TestPostgres:
    async def test_keeps_its_data_through_a_crash(self, postgres: RunningServer) -> None:
        await execute(postgres.url, "CREATE TABLE kept ()")
        postgres.kill()
        postgres.start()
        assert await execute(postgres.url, "DROP TABLE kept") == "DROP TABLE"

    async def test_starts_although_a_stale_pid_file_names_a_living_process(
        self, postgres: RunningServer, folder: Path
    ) -> None:
        pid_file = folder / "postgres" / "postmaster.pid"
        postgres.kill()
        lines = pid_file.read_text().splitlines()
        bystander = spawn(EmbeddedValkey(folder, PASSWORD).command(), os.open(os.devnull, os.O_WRONLY))
        try:
            pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]))
            postgres.start()
            assert await execute(postgres.url, "SELECT 1") == "SELECT 1"
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    async def test_refuses_a_wrong_password(self, postgres: RunningServer) -> None:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await execute(postgres.url.replace(PASSWORD, "wrong"), "SELECT 1")

    async def test_wrong_password_is_told_without_a_password(self, postgres: RunningServer) -> None:
        with pytest.raises(StartFailed, match="refuses us: password authentication failed") as failure:
            await await_postgres(postgres.url.replace(PASSWORD, "wrong secret"))
        assert "wrong secret" not in str(failure.value)

    async def test_listens_on_the_loopback_address_only(self, postgres: RunningServer) -> None:
        db = await asyncpg.connect(postgres.url)
        assert await db.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await db.fetchval("SHOW unix_socket_directories") == ""
        await db.close()

    def test_secret_is_not_on_the_command_line(self, postgres: RunningServer) -> None:
        assert PASSWORD not in Path(f"/proc/{postgres.pid}/cmdline").read_text()

    def test_does_not_run_as_root(self, postgres: RunningServer) -> None:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0

    def test_other_major_version_is_refused(self, postgres: RunningServer, folder: Path) -> None:
        (folder / "postgres" / "PG_VERSION").write_text("17\n")
        with pytest.raises(StartFailed, match="is of Postgres 17; this build runs 18"):
            EmbeddedPostgres(folder, PASSWORD).prepare()
        (folder / "postgres" / "PG_VERSION").write_text("18\n")
        assert postgres.url

    def test_interrupted_first_start_is_repaired(self, folder: Path) -> None:
        (folder / "postgres.new" / "base").mkdir(parents=True)
        server = RunningServer(EmbeddedPostgres(folder, PASSWORD, durable=False), folder / "postgres.log")
        server.start()
        server.stop()
        assert not (folder / "postgres.new").exists()


class TestValkey:
    def test_refuses_a_wrong_password(self, valkey: RunningServer) -> None:
        with pytest.raises(AuthenticationError):
            Redis.from_url(valkey.url.replace(PASSWORD, "wrong")).ping()

    async def test_never_evicts(self, valkey: RunningServer) -> None:
        (facts,) = await read_redis(valkey.url)
        assert (facts.product, facts.memory_policy) == ("valkey", "noeviction")

    def test_keeps_nothing_on_disk(self, valkey: RunningServer, folder: Path) -> None:
        with Redis.from_url(valkey.url) as client:
            client.set("a", 1)
        valkey.stop()
        assert sorted(path.name for path in folder.iterdir()) == ["valkey.log"]
        valkey.start()

    def test_secret_is_not_on_the_command_line(self, valkey: RunningServer) -> None:
        assert PASSWORD not in Path(f"/proc/{valkey.pid}/cmdline").read_text()

    async def test_server_that_is_away_is_told_without_a_password(self, valkey: RunningServer) -> None:
        valkey.stop()
        with pytest.raises(StartFailed, match=r"Redis at redis://127.0.0.1:\d+/0 does not answer"):
            await await_redis(valkey.url, patience_s=0)
        valkey.start()
