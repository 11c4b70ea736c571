"""The command line: `./switchyard <command>`. The top of the house: nothing imports it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from deploy import cli_roles
from deploy.cli_options import CHECKOUT, DEFAULT_DATA_DIR, DataDir, EdgeServer, say
from deploy.process import StartFailed
from deploy.stack_environment import find_environment
from loadtests.cli import bench, load

_EXIT_CODES = "Exit codes: 0 all is well, 1 something failed while running, 2 it could not start."

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=f"""Switchyard: short links with A/B and geo routing, and click tracking that loses nothing.

    `./switchyard up` runs all of it on this machine. The other commands run single parts, or look
    after a stack; they are configured by SWITCHYARD_* variables (see README.md), or find the
    stack that runs on `--data-dir`.

    {_EXIT_CODES}
    """,
)


@app.command()
def up(  # noqa: PLR0913  its options are arguments
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    api_port: Annotated[
        int,
        typer.Option(
            envvar="SWITCHYARD_API_PORT", min=0, max=65535, help="Port of the API; 0: any free one."
        ),
    ] = 8000,
    edge_port: Annotated[
        int,
        typer.Option(
            envvar="SWITCHYARD_EDGE_PORT", min=0, max=65535, help="Port of the edge; 0: any free one."
        ),
    ] = 8080,
    edge_workers: Annotated[
        int, typer.Option(min=1, max=64, help="Edge processes; one per core is a good number.")
    ] = 1,
    edge_server: Annotated[
        EdgeServer, typer.Option(envvar="SWITCHYARD_EDGE_SERVER", help="HTTP server of the edge.")
    ] = "wire",
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Keep nothing: a data folder of its own, removed at the end.")
    ] = False,
) -> None:
    """Run everything on this machine until Ctrl-C.

    Starts Postgres and Valkey (or uses those of SWITCHYARD_DATABASE_URL and SWITCHYARD_REDIS_URL),
    migrates the database, starts publisher, flusher, jobs, API and edge, and waits until each one
    answers. The first run makes a demo account with keys, a project and a link. While all is up,
    `ready.json` in the data folder tells URLs, keys and process ids. A process that dies is
    started again. Ctrl-C stops everything in order; a second one hurries.

    For example:

        ./switchyard up

        ./switchyard up --data-dir /srv/switchyard --edge-workers 4

        ./switchyard up --ephemeral --api-port 0 --edge-port 0
    """
    from deploy.local_stack import Options, run_stack

    run_stack(
        Options(
            data_dir=None if ephemeral else data_dir,
            api_port=api_port,
            edge_port=edge_port,
            edge_workers=edge_workers,
            edge_server=edge_server,
        ),
        say,
    )


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def test(context: typer.Context) -> None:
    """Run the tests on embedded servers; arguments go on to pytest.

    Two tests run at a time unless `-n` says otherwise (one on a machine with one core).
    `test chaos` disturbs stacks in every way that there is, for some eight minutes; the others
    include a short form of it.

    For example:

        ./switchyard test

        ./switchyard test tests/edge -k sticky

        ./switchyard test chaos -k postgres

        ./switchyard test -n 0 -x --pdb
    """
    import pytest

    os.chdir(CHECKOUT)
    arguments = context.args
    if arguments[:1] == ["chaos"]:
        # A file to a worker: its cases share a stack.
        arguments = ["tests/chaos", "--chaos", "whole", "--dist", "loadfile", *arguments[1:]]
    if not any(word.startswith(("-n", "--numprocesses")) for word in arguments):
        arguments = ["-n", str(min(2, os.cpu_count() or 1)), "--dist", "loadgroup", *arguments]
    sys.exit(pytest.main(arguments))


@app.command()
def setup() -> None:
    """Install what running, testing and working on Switchyard needs, and stop."""
    say(f"All is installed in {sys.prefix}.")


for _role in (cli_roles.edge, cli_roles.api, cli_roles.flusher, cli_roles.publisher, cli_roles.jobs):
    app.command()(_role)


@app.command()
def migrate(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Bring the database to the schema of this version; safe to repeat.

    For example:

        SWITCHYARD_DATABASE_URL=postgresql://… ./switchyard migrate
    """
    import asyncio

    from control_plane.db.migrate import MigrationError
    from control_plane.db.migrate import migrate as apply_migrations

    environment = find_environment(data_dir)
    try:
        applied = asyncio.run(apply_migrations(_require(environment, "SWITCHYARD_DATABASE_URL")))
    except MigrationError as error:
        raise StartFailed(f"The database cannot be used: {error}.") from error
    say("\n".join(applied) or "The database is up to date.")


@app.command()
def resync(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Write every link from Postgres to Redis again.

    The publisher does so by itself when it finds Redis empty; this is for peace of mind. Serving
    goes on meanwhile.
    """
    import asyncio

    from deploy.maintenance import resync_links

    environment = find_environment(data_dir)
    links = asyncio.run(
        resync_links(
            _require(environment, "SWITCHYARD_DATABASE_URL"), _require(environment, "SWITCHYARD_REDIS_URL")
        )
    )
    say(f"{links} links are in Redis.")


@app.command()
def admin(
    *,
    email: Annotated[str, typer.Option(help="Whom to appoint.")],
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Their tenant; made if it is not there.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Appoint a superadmin, and print their new password. The first one, or the way back in.

    For example:

        ./switchyard admin --tenant acme --email you@acme.com
    """
    import asyncio

    from deploy.admin import appoint_admin

    environment = find_environment(data_dir)
    database_url = _require(environment, "SWITCHYARD_DATABASE_URL")
    login = asyncio.run(appoint_admin(database_url, tenant_slug=tenant, email=email))
    say(f"{login.email}, password {login.password}, tenant {login.tenant_slug}")


@app.command(name="rotate-keys")
def rotate_keys(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Make a new key for the secrets in Postgres, and seal them all with it; serving goes on.

    To replace the master key itself, set SWITCHYARD_MASTER_KEY to the new one and
    SWITCHYARD_PREVIOUS_MASTER_KEY to the old one, here and for the API and the jobs; once this has
    run, the old one is no longer needed. Exit code 1 when a value could not be opened.

    For example:

        ./switchyard rotate-keys
    """
    import asyncio

    from deploy import maintenance

    environment = find_environment(data_dir)
    done = asyncio.run(
        maintenance.rotate_keys(
            _require(environment, "SWITCHYARD_DATABASE_URL"),
            _require(environment, "SWITCHYARD_MASTER_KEY"),
            environment.get("SWITCHYARD_PREVIOUS_MASTER_KEY", ""),
        )
    )
    say(f"{done.resealed} secrets are sealed with key {done.version}.")
    for place in done.broken:
        say(f"{place} does not open; it was left as it is.")
    sys.exit(1 if done.broken else 0)


@app.command()
def check(*, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Compare sums with the rows that they are of; exit code 1 when any disagree.

    Looked at is every sum: of links, variants, projects and campaigns, by time and by what is known of
    visitors, numbers and money, what sales say came back, and which clicks are marked as conversions.

    It reads all rows, as of one moment, while everything goes on. Sums of clicks that retention has dropped
    are listed too.

    For example:

        ./switchyard check
    """
    import asyncio

    from deploy import maintenance

    environment = find_environment(data_dir)
    database_url = _require(environment, "SWITCHYARD_DATABASE_URL")

    async def look() -> int:
        found = 0
        async for wrong in maintenance.check_sums(database_url):
            found += 1
            say(
                f"{wrong.sums}: {wrong.subject}, variant {wrong.variant_id}, {wrong.slot}:"
                f" stored {wrong.stored}, counted {wrong.counted}"
            )
        return found

    found = asyncio.run(look())
    say(f"{found} sums disagree with their rows." if found else "All sums agree with their rows.")
    sys.exit(1 if found else 0)


@app.command()
def rescore(
    *,
    since: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="First day (UTC) whose clicks and visits are judged."),
    ] = datetime(1970, 1, 1),  # noqa: DTZ001  a day of UTC, as whatever is given
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Judge again which clicks and visits are machines', by the rules of today; sums move along.

    Needed after an update that has new rules, and after SWITCHYARD_DATACENTER_NETWORKS has changed.
    Everything goes on meanwhile; it may be broken off and begun again.

    For example:

        ./switchyard rescore --since 2026-01-01
    """
    import asyncio

    from deploy import maintenance

    environment = find_environment(data_dir)
    done = asyncio.run(
        maintenance.rescore_events(
            _require(environment, "SWITCHYARD_DATABASE_URL"),
            environment.get("SWITCHYARD_DATACENTER_NETWORKS", ""),
            since.replace(tzinfo=UTC),
        )
    )
    say(f"{done.seen} looked at, {done.judged} judged anew, {done.moved} of them changed sides.")


@app.command()
def token(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    user_id: Annotated[
        str, typer.Option(metavar="UUID", help="User to sign for.", show_default="the demo user")
    ] = "",
    hours: Annotated[int, typer.Option(min=1, help="How long the token is valid.")] = 24,
) -> None:
    """Print a JWT with which a user manages API keys.

    Signs with SWITCHYARD_JWT_SECRET, or with the secret of the data folder.

    For example:

        curl -H "Authorization: Bearer $(./switchyard token)" http://127.0.0.1:8000/api/v1/public/keys
    """
    from deploy.maintenance import make_token

    print(make_token(data_dir, user_id=user_id, ttl_s=hours * 3600))  # noqa: T201  the command's output


@app.command()
def doctor(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check versions, connections, lag and journal, and say in sentences what is wrong.

    Exit code 0 when all is well, 1 when something is not.

    For example:

        ./switchyard doctor

        ./switchyard doctor --json | jq '.checks[] | select(.ok | not)'
    """
    import asyncio

    from deploy.data_folder import DataFolder
    from deploy.doctor import examine, render

    report = asyncio.run(examine(find_environment(data_dir), DataFolder(data_dir).read_ready()))
    render(report, as_json=as_json)
    sys.exit(0 if report.ok else 1)


app.add_typer(bench, name="bench")
app.command()(load)


def main() -> NoReturn:
    """Run the command line; a failure that has a sentence for it ends with that and exit code 2."""
    try:
        app(prog_name="./switchyard")
    except StartFailed as error:
        _fail(str(error))
    except ImportError as error:
        _fail(
            f"A library is missing or does not fit this system: {error}. "
            "Delete the folder .venv and start ./switchyard again."
        )
    sys.exit(0)


def _fail(sentence: str) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    sys.exit(2)


def _require(environment: dict[str, str], variable: str) -> str:
    try:
        return environment[variable]
    except KeyError:
        raise StartFailed(f"{variable} is not set, and no stack runs on the data folder.") from None


if __name__ == "__main__":
    main()
