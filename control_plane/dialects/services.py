"""What handlers of every dialect work with, and the transaction that each use-case runs in."""

# ruff: noqa: TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from litestar import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.connection import ASGIConnection

    from control_plane.core.clock import Clock
    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.limits.service import RequestLimiter
    from control_plane.settings import Settings

ACQUIRE_TIMEOUT_S: Final = 5.0
"""A request that gets no connection for so long is answered 503: the caller may try again."""


class Services:
    """The servers behind the API, its settings, and its clock."""

    def __init__(self, settings: Settings, pool: Pool, limiter: RequestLimiter, clock: Clock) -> None:
        self.settings = settings
        self.pool = pool
        self.limiter = limiter
        self.clock = clock

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open the one transaction of a use-case; commit it unless an error leaves it."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, db.transaction():
            yield db

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Open a transaction that only reads, and sees one moment in all its queries."""
        async with (
            self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db,
            db.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield db


async def provide_services(request: Request[Any, Any, Any]) -> Services:
    """Give handlers the services of the application."""
    return services_of(request)


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """Give the services of the application that serves a connection (its lifespan puts them there)."""
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services
