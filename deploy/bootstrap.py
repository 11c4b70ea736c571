"""Make the virtual environment with the locked requirements, then run the command line in it.

Runs on a bare Python: standard library only. A stamp in the environment says which locks it
holds, so a later start costs nothing; an install that was interrupted is done again from the
beginning. Used by the script `switchyard`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHECKOUT = Path(__file__).resolve().parents[1]
STAMP = "switchyard-stamp.json"
DEVELOPMENT_COMMANDS = {"test", "setup", "load"}
"""Commands that need more than running Switchyard does."""


class BootstrapFailed(Exception):  # noqa: N818  named for what happened
    """The environment cannot be made; the message is a sentence for the person at the terminal."""


def main(arguments: list[str]) -> NoReturn:
    """Make the environment if need be and replace this process by the command line in it."""
    venv = Path(os.environ.get("SWITCHYARD_VENV") or CHECKOUT / ".venv").absolute()
    locks = ["run.txt", "dev.txt"] if set(arguments[:1]) & DEVELOPMENT_COMMANDS else ["run.txt"]
    try:
        if not is_current(venv, locks):
            with exclusive(venv.parent):
                if not is_current(venv, locks):
                    install(venv, locks)
    except BootstrapFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    python = str(python_of(venv))
    # -P and this PYTHONPATH: modules come from the checkout, never from where the caller stands.
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONSAFEPATH": "1"}
    os.execve(python, [python, "-P", "-m", "deploy.cli", *arguments], environment)  # noqa: S606


def python_of(venv: Path) -> Path:
    """Give the interpreter of an environment."""
    return venv / "bin" / "python"


def is_current(venv: Path, locks: list[str]) -> bool:
    """Tell whether the environment works and holds exactly what `locks` say."""
    stamp = read_stamp(venv)
    if any(stamp.get(lock) != digest(lock) for lock in locks):
        return False
    return stamp.get("python") == version_of(python_of(venv))


def read_stamp(venv: Path) -> dict[str, str]:
    """Give what the environment holds: lock -> its digest, `python` -> version; {} if unknown."""
    try:
        stamp: dict[str, str] = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def has_stamp(venv: Path) -> bool:
    """Tell whether this script made the environment, or began to."""
    return (venv / STAMP).is_file()


def digest(lock: str) -> str:
    """Give the SHA-256 of a file of locked requirements, in hex."""
    return hashlib.sha256((CHECKOUT / "requirements" / lock).read_bytes()).hexdigest()


def version_of(python: Path) -> str:
    """Ask an interpreter for its version; "" when it does not run."""
    try:
        asked = subprocess.run(  # noqa: S603
            [python, "-ISc", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return asked.stdout.strip()


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one bootstrap at a time work below `folder`. Raises BootstrapFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        # The installer inherits the lock: if we are killed, the next start waits until it is gone.
        os.set_inheritable(descriptor, True)
    except OSError as error:
        raise BootstrapFailed(f"{folder} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another ./switchyard is installing; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def install(venv: Path, locks: list[str]) -> None:
    """Install the locked requirements into a fresh environment. Raises BootstrapFailed."""
    if not os.access(venv if venv.exists() else venv.parent, os.W_OK):
        raise BootstrapFailed(
            f"{venv} cannot be written: set SWITCHYARD_VENV to a folder of yours, in which "
            "Switchyard installs its libraries."
        )
    if "SWITCHYARD_VENV" in os.environ and venv.exists() and any(venv.iterdir()) and not has_stamp(venv):
        raise BootstrapFailed(
            f"{venv} was not made by Switchyard, which would replace what is in it; "
            "let SWITCHYARD_VENV name a new folder."
        )
    say(f"Setting up {venv} with Python {version_of(Path(sys.executable))}: about a minute, once.")
    uv = shutil.which("uv")
    if not (uv and install_with_uv(uv, venv, locks[-1])):
        install_with_pip(venv, locks[-1])
    stamp = {lock: digest(lock) for lock in locks} | {"python": version_of(python_of(venv))}
    staging = venv / (STAMP + ".new")
    staging.write_text(json.dumps(stamp))
    staging.replace(venv / STAMP)
    say("Set up.")


def make_venv(venv: Path, *options: str) -> None:
    """Make an empty environment in place of what is there. Raises BootstrapFailed."""
    made = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "venv", "--clear", *options, venv], capture_output=True, text=True, check=False
    )
    if made.returncode == 0:
        # An empty stamp: ours, but not finished. Whatever happens now, the next start begins anew.
        (venv / STAMP).write_text("{}")
        return
    said = (made.stderr.strip() or made.stdout.strip()).splitlines() or ["no reason given"]
    missing = [module for module in ("venv", "ensurepip") if not has_module(module)]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BootstrapFailed(
            f"{sys.executable} lacks the module {missing[0]}; install it (on Debian and Ubuntu: "
            f"apt install python{version}-venv), or put uv on the PATH."
        )
    raise BootstrapFailed(f"The virtual environment {venv} cannot be made: {said[-1]}")


def has_module(name: str) -> bool:
    """Tell whether this Python can import a module of its standard library."""
    command = [sys.executable, "-Ic", f"import {name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def install_with_uv(uv: str, venv: Path, lock: str) -> bool:
    """Install with uv; tell whether it worked (it does not know pip's configuration, for one)."""
    make_venv(venv, "--without-pip")
    requirements = CHECKOUT / "requirements" / lock
    command: list[str | Path] = [uv, "pip", "install", "--python", python_of(venv)]
    command += ["--compile-bytecode", "--require-hashes", "-r", requirements]
    code, last_lines = run_showing(command, re.compile(r"((?:Resolved|Prepared|Downloading|Installed) .+)"))
    if code != 0:
        say(f"uv could not install ({last_lines[-1] if last_lines else code}); going on with pip.")
    return code == 0


def install_with_pip(venv: Path, lock: str) -> None:
    """Install with pip. Raises BootstrapFailed with the end of what pip said."""
    make_venv(venv)
    requirements = CHECKOUT / "requirements" / lock
    command: list[str | Path] = [python_of(venv), "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "--compile", "--require-hashes", "-r", requirements]
    code, last_lines = run_showing(command, re.compile(r"(Collecting [^\s;]+|Installing )"))
    if code != 0:
        reason = "\n  ".join(last_lines)
        raise BootstrapFailed(
            f"The libraries of requirements/{lock} cannot be installed; pip says:\n  {reason}"
        )


def run_showing(command: Sequence[str | Path], shown: re.Pattern[str]) -> tuple[int, list[str]]:
    """Run a command, showing what `shown` finds in its output. Give its exit code and last lines.

    On a terminal the progress is one line that changes; elsewhere every tenth step is a line.
    """
    on_terminal = sys.stderr.isatty()
    last_lines: deque[str] = deque(maxlen=8)
    steps = 0
    with subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last_lines.append(line.rstrip())
            if match := shown.match(line.strip()):
                steps += 1
                if on_terminal:
                    print(f"\r\033[K  {steps}: {match[1]}", end="", file=sys.stderr, flush=True)  # noqa: T201
                elif steps % 10 == 1:
                    say(f"  {steps}: {match[1]}")
    if on_terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)  # noqa: T201
    return process.returncode, list(last_lines)


def say(line: str) -> None:
    """Show progress. It goes to standard error, so that a command's own output stays clean."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
