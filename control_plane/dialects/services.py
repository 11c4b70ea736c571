"""What handlers of every dialect work with, and the transaction that each use-case runs in."""

# ruff: noqa: TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from litestar import Request

from control_plane.core.errors import DomainError
from control_plane.db.pool import enter_system, enter_tenant
from control_plane.domains.federation.model import configure_google, configure_telegram
from control_plane.domains.passwords.service import Passwords
from control_plane.domains.sessions.model import SessionPolicy
from control_plane.domains.usage.meter import UsageMeter

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from litestar.connection import ASGIConnection

    from control_plane.core.clock import Clock
    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection, Pool
    from control_plane.domains.federation.model import Provider
    from control_plane.domains.federation.oidc_client import OidcClient
    from control_plane.domains.limits.service import RequestLimiter
    from control_plane.settings import Settings

ACQUIRE_TIMEOUT_S: Final = 5.0
"""A request that gets no connection for so long is answered 503: the caller may try again."""


class Services:
    """What handlers work with: servers, settings, the clock, and what hashes, seals, asks and counts."""

    def __init__(  # noqa: PLR0913, PLR0917  one argument per service
        self,
        settings: Settings,
        pool: Pool,
        limiter: RequestLimiter,
        clock: Clock,
        sealer: SealerSource,
        oidc: OidcClient,
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.limiter = limiter
        self.clock = clock
        self.sealer = sealer
        self.passwords = Passwords()
        self.usage = UsageMeter(pool, clock)
        self.oidc = oidc

    @contextlib.asynccontextmanager
    async def transaction(self, tenant_id: uuid.UUID) -> AsyncIterator[Connection]:
        """Open the one transaction of a use-case, in which there is no other tenant.

        It commits unless an error leaves it; one that says that it `commits` does not keep it from that.
        """
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, _commit(db):
            await enter_tenant(db, tenant_id)
            yield db

    @contextlib.asynccontextmanager
    async def snapshot(self, tenant_id: uuid.UUID) -> AsyncIterator[Connection]:
        """Open a transaction of a tenant that only reads, and sees one moment in all its queries."""
        async with (
            self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db,
            db.transaction(isolation="repeatable_read", readonly=True),
        ):
            await enter_tenant(db, tenant_id)
            yield db

    @contextlib.asynccontextmanager
    async def system_transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction that sees all tenants: to find whose a credential is, and for superadmins."""
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db, _commit(db):
            await enter_system(db)
            yield db

    @property
    def providers(self) -> dict[str, Provider]:
        """The providers that people can sign in with, by name."""
        settings = self.settings
        providers = (
            configure_google(
                settings.google_issuer, settings.google_client_id, settings.google_client_secret
            ),
            configure_telegram(
                settings.telegram_issuer, settings.telegram_client_id, settings.telegram_client_secret
            ),
        )
        return {provider.name.value: provider for provider in providers if provider.client_id}

    @property
    def session_policy(self) -> SessionPolicy:
        """How sessions are signed, and how long they last."""
        settings = self.settings
        return SessionPolicy(
            settings.jwt_secret,
            settings.jwt_previous_secret,
            settings.jwt_issuer,
            settings.access_token_ttl_s,
            settings.session_ttl_s,
        )


@contextlib.asynccontextmanager
async def _commit(db: Connection) -> AsyncIterator[None]:
    """Run a transaction; an error rolls it back, unless it says that it `commits`."""
    refusal = None
    async with db.transaction():
        try:
            yield
        except DomainError as error:
            if not error.commits:
                raise
            refusal = error
    if refusal is not None:
        raise refusal


async def provide_services(request: Request[Any, Any, Any]) -> Services:
    """Give handlers the services of the application."""
    return services_of(request)


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """Give the services of the application that serves a connection (its lifespan puts them there)."""
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services
