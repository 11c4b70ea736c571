"""What the commands of the command line share: the data folder, and how they speak."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

CHECKOUT = Path(__file__).resolve().parents[1]
DEFAULT_DATA_DIR = CHECKOUT / "var"

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        help="Folder with the stack's data.",
        show_default="var, beside the script",
        resolve_path=True,
    ),
]
EdgeServer: TypeAlias = Literal["wire", "granian"]


def say(line: str) -> None:
    """Show a line at once. A terminal that is gone must not stop what runs."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  until the process ends
