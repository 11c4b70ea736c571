"""The API with users who are signed in: an admin, and an admin of another tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.actor import Role
from tests.dialects.links.conftest import app, clock, settings  # noqa: F401  fixtures, found by name
from tests.dialects.members import Member, client_of, make_member

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from control_plane.settings import Settings
    from tests.dialects.links.conftest import SetClock


@pytest.fixture
async def member(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:  # noqa: F811
    """An admin of a tenant."""
    return await make_member(app, pool, settings, clock())


@pytest.fixture
async def viewer(
    app: Any,  # noqa: F811
    pool: asyncpg.Pool,
    settings: Settings,  # noqa: F811
    clock: SetClock,  # noqa: F811
    member: Member,
) -> Member:
    """A viewer of the same tenant."""
    return await make_member(app, pool, settings, clock(), tenant_id=member.tenant_id, role=Role.VIEWER)


@pytest.fixture
async def stranger(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:  # noqa: F811
    """An admin of another tenant."""
    return await make_member(app, pool, settings, clock())


@pytest.fixture
async def superadmin(app: Any, pool: asyncpg.Pool, settings: Settings, clock: SetClock) -> Member:  # noqa: F811
    """A superadmin, of a tenant of their own."""
    return await make_member(app, pool, settings, clock(), is_superadmin=True)


@pytest.fixture
def anonymous(app: Any) -> httpx.AsyncClient:  # noqa: F811
    """Somebody whom nobody knows."""
    return client_of(app)
