"""The contract is checked against the API of tests/dialects/links, through its fixtures."""

from __future__ import annotations

from tests.dialects.links.conftest import (  # noqa: F401  pytest finds fixtures by their names here
    anonymous,
    app,
    caller,
    clock,
    free_caller,
    settings,
    stranger,
)
