"""The same API and users as the identity dialect's tests have: one user table serves both."""

from __future__ import annotations

from tests.dialects.identity.conftest import (  # noqa: F401  pytest finds fixtures by their names here
    anonymous,
    member,
    stranger,
    superadmin,
    viewer,
)
from tests.dialects.links.conftest import app, clock, settings  # noqa: F401  the same
