"""Postgres and Valkey from their wheels: TCP on the loopback address, password, nothing else.

Each server is prepared (files on disk), described as a Command for a supervisor, and asked
whether it is ready; `start`, `stop` and `kill` do all of it for tests. No server's secret is
ever on a command line or in a log.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy import binaries
from deploy.process import Command, StartFailed, choose_port, spawn

if TYPE_CHECKING:
    import pwd

START_TIMEOUT_S: Final = 60.0
"""Crash recovery of a large database takes its time; a healthy start takes well under a second."""

_ORPHAN_TIMEOUT_S: Final = 20.0
"""How long a Postgres whose supervisor was killed may take to shut itself down."""

_PROC: Final = Path("/proc")

_POSTGRES_CONF: Final = """\
# Written by Switchyard at every start. Put settings of your own into postgresql.auto.conf
# (ALTER SYSTEM): they win.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 256MB
huge_pages = try
wal_compression = on
max_wal_size = 2GB
checkpoint_timeout = 15min
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
logging_collector = off
"""

_LINUX_CONF: Final = """\
# After a crash: one call for the whole file system instead of one for each file.
recovery_init_sync_method = syncfs
"""

_UNSAFE_CONF: Final = """\
# This database is thrown away at the end, so power loss does not matter; kill -9 still does:
# what was committed has been handed to the operating system.
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
autovacuum_naptime = 10min
"""


class EmbeddedPostgres:
    """A Postgres cluster in `folder` (see `make_server_folder`), with user and database `switchyard`.

    `durable=False` trades safety for speed: for data that is thrown away.
    `port`: preferred; another one is chosen when it is taken.
    """

    def __init__(self, folder: Path, password: str, *, port: int | None = None, durable: bool = True) -> None:
        self.port = choose_port(port)
        self._password = password
        self._durable = durable
        self._account = binaries.server_account()
        self.folder = folder
        self._cluster = folder / "postgres"
        self._cluster_name = "switchyard-" + binaries.folder_digest(self._cluster)
        self._programs = binaries.find_postgres(self._account)

    @property
    def url(self) -> str:
        """The URL of the database, with its password."""
        return f"postgresql://switchyard:{self._password}@127.0.0.1:{self.port}/switchyard"

    def prepare(self) -> None:
        """Make the cluster if there is none, write its configuration, and clear what a crash left.

        Raises StartFailed when the cluster cannot be made or is of another major version.
        """
        if not self._cluster.is_dir():
            self._make_cluster()
        version = (self._cluster / "PG_VERSION").read_text().strip()
        if version != "18":
            raise StartFailed(
                f"The database in {self._cluster} is of Postgres {version}; this build runs 18."
            )
        conf = _POSTGRES_CONF
        conf += _LINUX_CONF if sys.platform == "linux" else ""
        conf += "" if self._durable else _UNSAFE_CONF
        (self._cluster / "postgresql.conf").write_text(conf)
        self._clear_leftovers()

    def command(self) -> Command:
        """Describe the server process. SIGINT is Postgres' own word for "stop now, but properly"."""
        arguments = (
            "-D",
            str(self._cluster),
            "-p",
            str(self.port),
            "-c",
            f"cluster_name={self._cluster_name}",
        )
        return Command(
            argv=(str(self._programs / "postgres"), *arguments),
            env=_plain_environment(),
            cwd=self.folder,
            account=self._account,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )

    def is_ready(self, pid: int) -> bool:
        """Tell whether the server with this pid accepts connections."""
        status = self._read_pid_file()
        return len(status) > 7 and status[0] == str(pid) and status[7].strip() == "ready"  # noqa: PLR2004

    def _make_cluster(self) -> None:
        """Make a cluster with its database; it appears only when it is whole."""
        staging = self.folder / "postgres.new"
        shutil.rmtree(staging, ignore_errors=True)
        password_file = self.folder / "password.new"
        _write_private(password_file, self._password.encode(), self._account)
        try:
            self._run(
                "initdb", "-D", str(staging), "-U", "switchyard", "--auth=scram-sha-256",
                f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
                *(() if self._durable else ("--no-sync",)),
            )  # fmt: skip
        finally:
            password_file.unlink()
        self._run(
            "postgres", "--single", "-D", str(staging), "postgres", given=b"CREATE DATABASE switchyard\n"
        )
        staging.rename(self._cluster)

    def _run(self, program: str, *arguments: str, given: bytes = b"") -> None:
        account = self._account
        done = subprocess.run(  # noqa: S603  the argument vector is ours
            [self._programs / program, *arguments],
            input=given,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=_plain_environment(),
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise StartFailed(f"{program} failed in {self.folder}: {said}")

    def _clear_leftovers(self) -> None:
        """Wait for processes that outlived their supervisor, end them if need be, drop their pid file.

        Postgres refuses to start when the pid of a stale file belongs to any process of its user,
        which is the rule rather than the exception in a restarted container. The file may go only
        when nothing of the cluster runs any more.
        """
        deadline = time.monotonic() + _ORPHAN_TIMEOUT_S
        ending = signal.SIGQUIT
        while pids := _find_processes(self._cluster_name):
            if time.monotonic() > deadline:
                for pid in pids:
                    os.kill(pid, ending)
                ending = signal.SIGKILL
                deadline += _ORPHAN_TIMEOUT_S
            time.sleep(0.05)
        if _PROC.is_dir():
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _read_pid_file(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []


class EmbeddedValkey:
    """A Valkey that keeps nothing on disk: all that it holds can be rebuilt or is shipped again."""

    def __init__(self, folder: Path, password: str, *, port: int | None = None) -> None:
        self.port = choose_port(port)
        self._password = password
        self._account = binaries.server_account()
        self.folder = folder
        self._program = binaries.find_valkey(self._account)

    @property
    def url(self) -> str:
        """The URL of database 0, with its password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Do nothing: there are no files."""

    def command(self) -> Command:
        """Describe the server process; its configuration comes through standard input."""
        configuration = (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
        )
        return Command(
            argv=(str(self._program), "-"),
            env=_plain_environment(),
            cwd=self.folder,
            stdin=configuration.encode(),
            account=self._account,
        )

    def is_ready(self, _pid: int) -> bool:
        """Tell whether the server answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = connection.makefile("rb")
                return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
        except OSError:
            return False


class RunningServer:
    """An embedded server as a test holds it: started, stopped and killed at will."""

    def __init__(self, server: EmbeddedPostgres | EmbeddedValkey, log: Path) -> None:
        self._server = server
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's URL; it stays the same over restarts."""
        return self._server.url

    @property
    def pid(self) -> int:
        """The pid of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server if it does not run, and wait until it answers. Raises StartFailed."""
        if self._process is not None and self._process.poll() is None:
            return
        self._server.prepare()
        with self._log.open("ab") as output:
            self._process = spawn(self._server.command(), output)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.is_ready(self.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed(
                    f"The server did not start; {self._log} ends with: {self._log.read_text()[-2000:]}"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server in order and wait until it is gone."""
        self._end(self._server.command().stop_signal)

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(START_TIMEOUT_S)
            self._process = None


def make_server_folder(folder: Path) -> Path:
    """Make the folder that both servers work in, and give it: `folder`, if they can reach it.

    As root, the servers run as `nobody`; when that user cannot reach `folder`, a system folder
    takes its place. The caller keeps the answer, for `folder` may be moved later.
    """
    account = binaries.server_account()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if account is None:
        return folder
    if not binaries.can_reach(folder.parent, account):
        folder = binaries.system_folder(folder)
        binaries.make_system_home()
        folder.mkdir(exist_ok=True, mode=0o700)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def _find_processes(cluster_name: str) -> list[int]:
    """Find the processes that name a cluster on their command line, as every Postgres process does."""
    found = []
    for command_line in _PROC.glob("[0-9]*/cmdline"):
        try:
            words = command_line.read_bytes()
        except OSError:
            continue
        if words.startswith(b"postgres") or b"/postgres\0" in words:
            found += [int(command_line.parent.name)] if cluster_name.encode() in words else []
    return found


def _write_private(path: Path, content: bytes, account: pwd.struct_passwd | None) -> None:
    """Write a file that only its owner reads: `account`, or we."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)


def _plain_environment() -> dict[str, str]:
    """Give an environment without PG* variables and settings that a server could trip over."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
