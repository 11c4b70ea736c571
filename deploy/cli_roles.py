"""The commands that run single parts: one process each, but for `edge --workers`."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  typer evaluates annotations
from typing import Annotated

import typer

from deploy.cli_options import DEFAULT_DATA_DIR, DataDir, EdgeServer, say
from deploy.process import StartFailed


def edge(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Annotated[
        EdgeServer, typer.Option(envvar="SWITCHYARD_EDGE_SERVER", help="HTTP server: our own, or Granian.")
    ] = "wire",
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="SWITCHYARD_EDGE_WORKERS",
            min=1,
            max=64,
            help="Keep that many workers alive, from one process.",
            show_default="one worker, alone",
        ),
    ] = None,
    pin: Annotated[
        bool, typer.Option("--pin", envvar="SWITCHYARD_EDGE_PIN", help="Give each of them a CPU of its own.")
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            envvar="SWITCHYARD_SETTINGS_FILE",
            metavar="FILE",
            help="With --workers: lines NAME=value, read again at each reload; they win over variables.",
            resolve_path=True,
        ),
    ] = None,
) -> None:
    """Run one edge worker, or several: they serve redirects and journal clicks.

    With `--workers`, SIGHUP replaces the workers one after another by new processes, with the
    program and the settings file as they are then; no connection is refused or reset meanwhile. A
    worker that dies is started again, and what waited for it is served. SIGTERM lets all finish.

    Workers of one machine share SWITCHYARD_JOURNAL_DIR: they take over each other's journals.

    For example:

        SWITCHYARD_REDIS_URL=redis://10.0.0.5:6379/0 SWITCHYARD_EDGE_HOST=0.0.0.0 ./switchyard edge

        ./switchyard edge --workers 4 --pin --settings /etc/switchyard.env
    """
    os.environ["SWITCHYARD_EDGE_SERVER"] = server
    if workers is None:
        if pin or settings is not None:
            raise StartFailed("--pin and --settings need --workers.")
        _run_role("edge", data_dir)
        return
    from deploy.edge_supervisor import Options, run_workers

    _join_stack(data_dir)
    run_workers(Options(workers=workers, is_pinned=pin, settings_file=settings), say)


def api(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run the API: one process per call, on SWITCHYARD_API_HOST and SWITCHYARD_API_PORT.

    For example, with SWITCHYARD_DATABASE_URL, SWITCHYARD_REDIS_URL and SWITCHYARD_JWT_SECRET set:

        ./switchyard api
    """
    _run_role("api", data_dir)


def flusher(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a flusher: it lands events from the stream in Postgres, each exactly once.

    Any number may run; give each a SWITCHYARD_FLUSHER_NAME of its own.
    """
    _run_role("flusher", data_dir)


def publisher(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a publisher: it brings changed links from Postgres to Redis, and refills an empty Redis."""
    _run_role("publisher", data_dir)


def jobs(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Run a worker for background jobs: it delivers messages, and makes partitions ahead of time."""
    _run_role("jobs", data_dir)


def _run_role(role: str, data_dir: Path) -> None:
    from deploy.roles import run_role

    _join_stack(data_dir)
    run_role(role)


def _join_stack(data_dir: Path) -> None:
    """Let this process belong to the stack that runs on the data folder, if one does."""
    from deploy.stack_environment import find_environment

    os.environ.update(find_environment(data_dir))
