"""What `up` keeps on disk.

lock          held while a stack runs on the folder
state.json    layout of this folder, ports of the embedded servers, where their files are
secrets       passwords and signing keys, made once; readable to the owner only
demo.json     the demo account, its key and its link; readable to the owner only
ready.json    how to reach the running stack; there only while all of it is up
journal/      events that have not landed in Postgres yet
logs/         one file per process
mails/        the messages that the mail catcher took last
servers/      files of the embedded Postgres
run/          a file per process that says it is ready
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import uuid
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from deploy.embedded import make_server_folder
from deploy.process import StartFailed

LAYOUT: Final = 1
"""Grows when an older Switchyard could misread the folder."""


class State(msgspec.Struct, kw_only=True):
    """state.json. `servers`: the folder of the embedded servers, which root may keep elsewhere."""

    layout: int = LAYOUT
    servers: str = ""
    postgres_port: int | None = None
    valkey_port: int | None = None
    smtp_port: int | None = None
    mail_port: int | None = None


class Secrets(msgspec.Struct, frozen=True):
    """The file `secrets`; every field is 64 hex digits, in older folders 48 but for the master key."""

    postgres_password: str
    valkey_password: str
    jwt_secret: str
    fingerprint_secret: str
    master_key: str = ""


class Login(msgspec.Struct, frozen=True):
    """How a user signs in."""

    user_id: uuid.UUID
    tenant_slug: str
    email: str
    password: str


class DemoProject(msgspec.Struct, frozen=True):
    """A project. `secret`: what postbacks prove themselves with. `key`: of the tenant, to read and report."""

    id: uuid.UUID
    secret: str
    key: str


class Demo(msgspec.Struct, frozen=True):
    """demo.json: what the first run made. Keys and secrets are kept, for the API shows them only once.

    `admin`, `project`: None in a file of an older version.
    """

    user_id: uuid.UUID
    api_key: str
    link_id: uuid.UUID
    slug: str
    admin: Login | None = None
    project: DemoProject | None = None


class Ready(msgspec.Struct, frozen=True):
    """ready.json. `demo_link`: URL. `token`: a JWT for key management. `processes`: name -> pid.

    `project`: the demo's, which `demo_link` counts for; None in a file of an older version.
    `up`: the pid of the supervisor, 0 in a file of an older version. `mail_url`: the page of the mail
    catcher; `smtp_url`, `sms_url`: how messages reach it. Each is empty where messages go elsewhere.
    """

    api_url: str
    edge_url: str
    api_key: str
    token: str
    demo_link: str
    database_url: str
    redis_url: str
    processes: dict[str, int]
    up: int = 0
    mail_url: str = ""
    smtp_url: str = ""
    sms_url: str = ""
    project: DemoProject | None = None


_T = TypeVar("_T", bound=msgspec.Struct)


class DataFolder:
    """A data folder on disk; `open` makes it and takes the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.journal = path / "journal"
        self.run = path / "run"
        self.mails = path / "mails"
        self.was_killed = False
        """Whether the stack before this one was not stopped in order; known once open."""
        self._locks: list[int] = []

    def open(self) -> None:
        """Make the folder, lock it, and check its layout. Raises StartFailed."""
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                # Root's database server is another user, who must be able to pass through.
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.logs, self.journal, self.run, self.mails):
                folder.mkdir(exist_ok=True, mode=0o700)
            self._lock(self.path)
        except OSError as error:
            raise StartFailed(
                f"The data folder {self.path} cannot be used ({error.strerror}); "
                "name another with --data-dir."
            ) from error
        layout = self.read_state().layout
        if layout > LAYOUT:
            raise StartFailed(
                f"The data folder {self.path} has layout {layout}, this Switchyard knows {LAYOUT}: "
                "start a newer version."
            )
        self.was_killed = (self.path / "ready.json").exists()
        self.clear_ready()

    def close(self) -> None:
        """Give the locks back."""
        while self._locks:
            os.close(self._locks.pop())

    def read_state(self) -> State:
        """Read state.json, or give the state of a new folder. Raises StartFailed."""
        return self._read("state.json", State) or State()

    def write_state(self, state: State) -> None:
        """Replace state.json."""
        self._write("state.json", state)

    def place_servers(self, state: State) -> Path:
        """Give the folder of the embedded servers, made at the first call. Raises StartFailed."""
        if not state.servers:
            folder = make_server_folder(self.path / "servers")
            # Relative when inside, so that the data folder can be moved.
            state.servers = folder.name if folder.parent == self.path else str(folder)
            self.write_state(state)
        folder = self.path / state.servers
        if not folder.is_dir():
            raise StartFailed(f"The database of {self.path} was kept in {folder}, which is gone.")
        self._lock(folder)
        return folder

    def read_secrets(self) -> Secrets:
        """Read the secrets; they are made when they are not there. Raises StartFailed."""
        known = self._read("secrets", Secrets)
        if known is None:
            known = Secrets(*(secrets.token_hex(32) for _ in Secrets.__struct_fields__))
            self._write("secrets", known)
        elif not known.master_key:
            known = msgspec.structs.replace(known, master_key=secrets.token_hex(32))
            self._write("secrets", known)
        return known

    def read_demo(self) -> Demo | None:
        """Read demo.json; None when no demo was made yet. Raises StartFailed."""
        return self._read("demo.json", Demo)

    def write_demo(self, demo: Demo) -> None:
        """Replace demo.json."""
        self._write("demo.json", demo)

    def read_ready(self) -> Ready | None:
        """Read ready.json; None when nothing runs on this folder. Raises StartFailed."""
        return self._read("ready.json", Ready)

    def write_ready(self, ready: Ready) -> None:
        """Replace ready.json."""
        self._write("ready.json", ready)

    def clear_ready(self) -> None:
        """Remove ready.json."""
        (self.path / "ready.json").unlink(missing_ok=True)

    def _lock(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        self._locks.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(
                f"Another ./switchyard up runs on {folder}; stop it, or name another folder with --data-dir."
            ) from None

    def _read(self, name: str, kind: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise StartFailed(f"{self.path / name} cannot be read: {error}") from error

    def _write(self, name: str, content: msgspec.Struct) -> None:
        """Replace a file in one step; only its owner can read it."""
        descriptor, staging = tempfile.mkstemp(dir=self.path, prefix=f".{name}-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
                file.flush()
                os.fsync(descriptor)
            Path(staging).replace(self.path / name)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(staging).unlink()
            raise
