"""What tenants use, day by day, and what of it is left. Days are those of UTC.

The contracts speak of renders: a render is a redirect of a visitor or a bot. What a browser only
fetched ahead is none.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import TypeAlias

import msgspec

CallKey: TypeAlias = tuple[uuid.UUID, date]
"""(tenant id, day)."""

ActivityKey: TypeAlias = tuple[uuid.UUID, uuid.UUID, date]
"""(tenant id, user id, day)."""


KeyUse: TypeAlias = tuple[uuid.UUID, uuid.UUID]
"""(tenant id, API key id)."""


class UsageDay(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant used on a day. `api_calls`: requests whose caller was let in."""

    day: date
    redirects: int
    api_calls: int
    active_users: int


class RenderAllowance(msgspec.Struct, frozen=True, kw_only=True):
    """How many redirects a tenant has. `per_day`, `left_today`: UNLIMITED where nothing limits them.

    `at_once`: what its plan promises to serve in parallel.
    """

    per_day: int
    left_today: int
    at_once: int


class UsageBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Counts on their way to Postgres. `active`: when each user was last seen on that day.

    `key_uses`: how often each API key was used, and when last.
    """

    sequence: int
    calls: dict[CallKey, int]
    active: dict[ActivityKey, datetime]
    key_uses: dict[KeyUse, tuple[int, datetime]]
