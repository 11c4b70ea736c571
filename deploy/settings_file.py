"""A file of settings: lines NAME=value, as in systemd's EnvironmentFile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from deploy.process import StartFailed

if TYPE_CHECKING:
    from pathlib import Path

_LINE: Final = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"]*)"|'([^']*)'|([^"'\s](?:.*\S)?)?)""")


def read_settings_file(path: Path) -> dict[str, str]:
    """Read the variables of a file. Empty lines and those that begin with # or ; say nothing.

    A value may stand in quotes; nothing is expanded. Raises StartFailed naming file and line.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartFailed(f"The settings file {path} cannot be read: {error}.") from error
    variables = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            # Not the value: it may be a secret.
            said = line.partition("=")[0]
            raise StartFailed(f"{path}, line {number}: {said!r} is not a name followed by =value.")
        name, *values = match.groups(default="")
        variables[name] = "".join(values)
    return variables
