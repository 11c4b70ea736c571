"""The HTTP API: wires settings, servers and dialects together.

granian --interface asgi --factory control_plane.app:create_app
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Server

from control_plane.core.clock import utc_now
from control_plane.core.redis_client import open_redis
from control_plane.db.data_keys import SealerSource
from control_plane.db.pool import API_ROLE, open_pool
from control_plane.dialects.cross_origin import AllowedOrigins
from control_plane.dialects.envelope import CommonMethods, add_response_headers
from control_plane.dialects.failures import answer_failure
from control_plane.dialects.growth import router as growth
from control_plane.dialects.identity import router as identity
from control_plane.dialects.links import router as links
from control_plane.dialects.links.documentation import build_components
from control_plane.dialects.reference_page import ReferencePage
from control_plane.dialects.schemas import StructSchemas
from control_plane.dialects.services import Services
from control_plane.dialects.tracking import router as tracking
from control_plane.domains.federation.oidc_client import OidcClient
from control_plane.domains.limits.service import RequestLimiter
from control_plane.logs import configure_logs
from control_plane.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from control_plane.core.clock import Clock
    from control_plane.settings import Settings

BODY_LIMIT_BYTES: Final = 1024 * 1024
"""A link of five variants with the longest destinations takes 11 KiB."""

REDIS_TIMEOUT_S: Final = 0.5
"""Redis only counts requests here; a request does not wait longer for that."""


def create_app(settings: Settings | None = None, clock: Clock = utc_now) -> Litestar:
    """Build the application. `settings`: from the environment when None."""
    settings = settings or read_settings()
    if not settings.master_key:
        raise ValueError("SWITCHYARD_MASTER_KEY is required by the API: 32 random bytes in base64 or hex")
    configure_logs()
    app = Litestar(
        route_handlers=[
            links.build_router(),
            identity.build_router(),
            tracking.build_router(),
            growth.build_router(),
        ],
        lifespan=[lambda app: open_services(app, settings, clock)],
        exception_handlers={Exception: answer_failure},
        before_send=[add_response_headers],
        request_max_body_size=BODY_LIMIT_BYTES,
        openapi_config=_document(settings),
        plugins=[StructSchemas()],
        logging_config=None,
    )
    app.asgi_handler = CommonMethods(app.asgi_handler)
    return app


@contextlib.asynccontextmanager
async def open_services(app: Litestar, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Open what handlers work with, for as long as the application runs."""
    pool = await open_pool(settings.database_url, size=settings.database_pool_size, role=API_ROLE)
    redis = open_redis(settings.redis_url, timeout_s=REDIS_TIMEOUT_S)
    # Keys are asked for within transactions: waiting for the pool there would be waiting for oneself.
    keys = await open_pool(settings.database_url, size=1, role=API_ROLE)
    sealer = SealerSource.read(keys, settings.master_key, settings.previous_master_key, clock)
    oidc = OidcClient()
    app.state.services = services = Services(settings, pool, RequestLimiter(redis), clock, sealer, oidc)
    app.state.allowed_origins = AllowedOrigins(services)
    try:
        async with services.usage.running():
            yield
    finally:
        services.passwords.close()
        await oidc.aclose()
        await redis.aclose()
        await keys.close()
        await pool.close()


def _document(settings: Settings) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Switchyard public API",
        version="1.0.0",
        description="Create and manage smart links with A/B and geo variants, and read their clicks.",
        path=f"{links.PREFIX}/docs",
        render_plugins=[ReferencePage(path="/"), JsonRenderPlugin()],
        servers=[Server(url=settings.api_url)],
        components=build_components(),
        use_handler_docstrings=True,
    )
