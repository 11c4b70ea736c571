"""What the local stack consists of, as the supervisor sees it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy import mail_catcher
from deploy.http_probe import fetch
from deploy.process import Command
from deploy.roles import READY_FILE

if TYPE_CHECKING:
    from deploy.embedded import EmbeddedPostgres, EmbeddedValkey

PROC: Final = Path("/proc")
LISTENING: Final = "0A"
"""Code of the state LISTEN in /proc/net/tcp."""


class ServerService:
    """An embedded Postgres or Valkey."""

    stop_timeout_s = 60.0

    def __init__(self, name: str, server: EmbeddedPostgres | EmbeddedValkey) -> None:
        self.name = name
        self._server = server

    def prepare(self) -> None:
        """Put the server's files in order."""
        self._server.prepare()

    def command(self) -> Command:
        """Describe the server's process."""
        return self._server.command()

    async def is_ready(self, pid: int) -> bool:
        """Tell whether the server takes connections."""
        return self._server.is_ready(pid)


class RoleService:
    """One of our own processes. `role`: as in deploy/roles.py. `folder`: where it runs."""

    stop_timeout_s = 30.0

    def __init__(self, name: str, role: str, environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self._role = role
        self._environment = environment
        self._folder = folder

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def command(self) -> Command:
        """Describe the process."""
        argv = (sys.executable, "-P", "-m", "deploy.roles", self._role)
        return Command(argv=argv, env=self._environment, cwd=self._folder)


class PipelineService(RoleService):
    """A process without a port: it writes its pid into a file when it is ready."""

    def __init__(self, role: str, environment: dict[str, str], folder: Path, ready_file: Path) -> None:
        super().__init__(role, role, environment | {READY_FILE: str(ready_file)}, folder)
        self._ready_file = ready_file

    def prepare(self) -> None:
        """Forget that an earlier process with perhaps the same pid was ready."""
        self._ready_file.unlink(missing_ok=True)

    async def is_ready(self, pid: int) -> bool:
        """Tell whether the process has reached both servers."""
        return names_process(self._ready_file, pid)


def names_process(ready_file: Path, pid: int) -> bool:
    """Tell whether a process has written its pid into its ready file; one that cannot be read says no."""
    with contextlib.suppress(OSError):
        return ready_file.read_text() == str(pid)
    return False


class HttpService(RoleService):
    """A process that answers HTTP on a port, which it may share with others of its kind."""

    def __init__(  # noqa: PLR0913  a process is what it is
        self, name: str, role: str, environment: dict[str, str], folder: Path, *, port: int, probe_url: str
    ) -> None:
        super().__init__(name, role, environment, folder)
        self._port = port
        self._probe_url = probe_url

    async def is_ready(self, pid: int) -> bool:
        """Tell whether this very process listens, and its port answers 200."""
        return listens(pid, self._port) and (await fetch(self._probe_url)).status == 200  # noqa: PLR2004


class MailCatcherService(HttpService):
    """The mail catcher; it knows its ports before it runs, so that others can be told of them."""

    def __init__(self, environment: dict[str, str], folder: Path, *, smtp_port: int, http_port: int) -> None:
        self.url = f"http://127.0.0.1:{http_port}"
        self.smtp_url = f"smtp://127.0.0.1:{smtp_port}"
        self.sms_url = f"catcher://127.0.0.1:{http_port}"
        own = {
            mail_catcher.SMTP_PORT: str(smtp_port),
            mail_catcher.HTTP_PORT: str(http_port),
            mail_catcher.FOLDER: str(folder / "mails"),
        }
        super().__init__(
            "mail-catcher",
            "mail-catcher",
            environment | own,
            folder,
            port=http_port,
            probe_url=f"{self.url}/messages.json",
        )


def listens(pid: int, port: int) -> bool:
    """Tell whether a process of ours listens on a TCP port; without /proc, believe that it does."""
    if not PROC.is_dir():
        return True
    sockets = set()
    for table in ("tcp", "tcp6"):
        path = PROC / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    try:
        return any(str(file.readlink()) in sockets for file in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False
