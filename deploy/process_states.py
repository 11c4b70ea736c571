"""What the kernel says of the processes that `up` runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from deploy.data_folder import Ready

_PROC: Final = Path("/proc")


def find_faults(ready: Ready) -> list[str]:
    """Say in sentences which processes of a stack have ended or stand still; nothing without /proc."""
    if not _PROC.is_dir() or not ready.up:
        return []
    if _read_state(ready.up) in {"", "Z"}:
        return ["`up` was killed, and with it all that it ran. Start ./switchyard up again."]
    faults = []
    for name, pid in {"up": ready.up, **ready.processes}.items():
        match _read_state(pid):
            case "" | "Z":
                faults.append(f"{name} (process {pid}) has ended, and `up` has not started another.")
            case "T":
                faults.append(f"{name} (process {pid}) is stopped; kill -CONT {pid} lets it go on.")
    return faults


def _read_state(pid: int) -> str:
    """Give the letter that stands for a process' state; empty when there is none of that pid."""
    try:
        status = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    # The name before it stands in brackets, and may hold some itself.
    return status.rpartition(")")[2].split()[0]
