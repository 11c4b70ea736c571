"""Where the Redis scripts are: one per file in the folder lua/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

LUA_SCRIPTS: Final = Path(__file__).resolve().parents[2] / "lua"


def load_lua(name: str) -> str:
    """Read lua/<name>.lua. Raises FileNotFoundError."""
    return (LUA_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")
