"""How one child process is described, started and tied to the life of its parent."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartFailed(Exception):  # noqa: N818  named for what happened, not for its kind
    """Something that must run cannot; the message is a sentence for the person at the terminal."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One process to start.

    `stdin`: given to it before anything else, so that secrets need no command line.
    `account`: run as this user; None runs as ours. Only root can name one.
    `stop_signal`: asks it to finish its work and leave.
    `orphan_signal`: what it gets the moment its parent dies, however that happens.
    `inherited`: descriptors of ours that it finds under the same numbers.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    stdin: bytes = b""
    account: pwd.struct_passwd | None = None
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGKILL
    inherited: tuple[int, ...] = ()


def spawn(command: Command, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C reaches only its parent.

    Call it from the main thread: Linux ties `orphan_signal` to the thread that starts the child.
    Raises StartFailed when the program cannot be executed.
    """
    account = command.account
    try:
        process = subprocess.Popen(  # noqa: S603  the argument vector is ours
            command.argv,
            env=command.env,
            cwd=command.cwd,
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=command.inherited,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_tie_to_parent(command.orphan_signal),  # noqa: PLW1509  no threads run here
        )
    except OSError as error:
        raise StartFailed(f"{command.argv[0]} cannot be started: {error.strerror}.") from error
    if process.stdin is not None:
        with process.stdin as pipe:
            pipe.write(command.stdin)
    return process


def _tie_to_parent(orphan_signal: int) -> Callable[[], None] | None:
    """Give the step between fork and exec that makes the kernel signal an orphan."""
    if _libc is None:
        return None
    parent = os.getpid()

    def tie() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, orphan_signal)
        if os.getppid() != parent:
            os._exit(1)

    return tie


def own_environment(**extra: str) -> dict[str, str]:
    """Give the environment of this process with `extra` on top."""
    return {**os.environ, **extra}


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether nobody listens on a TCP port, not even someone who would share it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def await_port_free(port: int, host: str, timeout_s: float) -> bool:
    """Wait for a port that dying processes may still hold. Tell whether it is free."""
    deadline = time.monotonic() + timeout_s
    while not (is_free := is_port_free(port, host)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_free


def choose_port(preferred: int | None = None) -> int:
    """Give `preferred` if it is free on the loopback address, else a free port."""
    if preferred and is_port_free(preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
