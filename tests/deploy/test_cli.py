from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control_plane.core.tokens import verify_token

if TYPE_CHECKING:
    from control_plane.db.pool import Pool

CHECKOUT = Path(__file__).resolve().parents[2]
COMMANDS = [
    "up", "test", "setup", "edge", "api", "flusher", "publisher", "jobs",
    "migrate", "resync", "token", "doctor", "bench", "load",
]  # fmt: skip


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHYARD_")}
    environment = kept | {"PYTHONPATH": str(CHECKOUT), "NO_COLOR": "1", "COLUMNS": "200"} | variables
    command = [sys.executable, "-P", "-m", "deploy.cli", *arguments]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    said = run("--help").stdout
    assert all(f" {command} " in said for command in COMMANDS)


@pytest.mark.parametrize("command", ["up", "edge", "migrate", "token", "doctor", "load"])
def test_help_gives_an_example(command: str) -> None:
    said = run(command, "--help")
    assert said.returncode == 0
    assert f"./switchyard {command}" in said.stdout


@pytest.mark.parametrize("role", ["edge", "api", "flusher", "publisher", "jobs"])
def test_role_without_settings_ends_with_a_sentence(role: str, tmp_path: Path) -> None:
    answer = run(role, "--data-dir", str(tmp_path))
    assert answer.returncode == 2
    assert "SWITCHYARD_" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_chaos_is_run_whole_by_name(tmp_path: Path) -> None:
    answer = run("test", "chaos", "--collect-only", "-p", "no:cacheprovider", f"--basetemp={tmp_path}")
    assert answer.returncode == 0
    assert "chaos: whole" in answer.stdout
    assert "test_loses_nothing[supervisor killed]" in answer.stdout


def test_migrate_says_what_it_did(database_url: str, tmp_path: Path) -> None:
    answer = run("migrate", "--data-dir", str(tmp_path), SWITCHYARD_DATABASE_URL=database_url)
    assert (answer.returncode, answer.stdout) == (0, "The database is up to date.\n")


async def test_migrate_refuses_a_newer_database(pool: Pool, database_url: str, tmp_path: Path) -> None:
    await pool.execute("INSERT INTO schema_migrations VALUES (9999, '9999_future', 'x', now())")
    answer = run("migrate", "--data-dir", str(tmp_path), SWITCHYARD_DATABASE_URL=database_url)
    assert answer.returncode == 2
    assert "the database has migration 9999_future" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_resync_writes_links(database_url: str, redis_url: str, tmp_path: Path) -> None:
    servers = {"SWITCHYARD_DATABASE_URL": database_url, "SWITCHYARD_REDIS_URL": redis_url}
    answer = run("resync", "--data-dir", str(tmp_path), **servers)
    assert (answer.returncode, answer.stdout) == (0, "0 links are in Redis.\n")


def test_doctor_says_what_is_wrong(database_url: str, redis_url: str, tmp_path: Path) -> None:
    answer = run(
        "doctor", "--json", "--data-dir", str(tmp_path),
        SWITCHYARD_DATABASE_URL=database_url, SWITCHYARD_REDIS_URL=redis_url,
        SWITCHYARD_API_URL="http://127.0.0.1:9", SWITCHYARD_EDGE_URL="http://127.0.0.1:9",
        SWITCHYARD_JOURNAL_DIR=str(tmp_path),
    )  # fmt: skip
    assert answer.returncode == 1
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}
    assert {name for name, check in checks.items() if not check["ok"]} == {"api", "edge", "links", "stream"}
    assert "Does the publisher run?" in checks["links"]["says"]
    assert "The edge at http://127.0.0.1:9 does not answer" in checks["edge"]["says"]


class TestToken:
    SECRET = "0123456789abcdef0123456789abcdef"
    USER = "01890a5d-ac96-774b-bcce-b302099a8057"

    def test_is_signed_with_the_given_secret(self, tmp_path: Path) -> None:
        answer = run(
            "token", "--user-id", self.USER, "--data-dir", str(tmp_path), SWITCHYARD_JWT_SECRET=self.SECRET
        )
        claims = verify_token(
            answer.stdout.strip(), secret=self.SECRET, issuer="switchyard", now=datetime.now(UTC)
        )
        assert str(claims.user_id) == self.USER

    @pytest.mark.parametrize(
        ("arguments", "variables", "sentence"),
        [
            ([], {}, "holds no secrets"),
            ([], {"SWITCHYARD_JWT_SECRET": SECRET}, "has no demo user"),
            ([], {"SWITCHYARD_JWT_SECRET": "short"}, "has 5 characters; it needs 32"),
            (["--user-id", "me"], {"SWITCHYARD_JWT_SECRET": SECRET}, "--user-id 'me' is not a UUID"),
        ],
    )
    def test_refusal_is_a_sentence(
        self, tmp_path: Path, arguments: list[str], variables: dict[str, str], sentence: str
    ) -> None:
        answer = run("token", "--data-dir", str(tmp_path), *arguments, **variables)
        assert answer.returncode == 2
        assert sentence in answer.stderr
