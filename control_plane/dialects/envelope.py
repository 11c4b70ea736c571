"""What surrounds every response of every dialect: its headers, and HEAD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from litestar.datastructures import MutableScopeHeaders
from litestar.status_codes import HTTP_204_NO_CONTENT, HTTP_405_METHOD_NOT_ALLOWED

from control_plane.core.ids import new_id
from control_plane.dialects.cross_origin import allow_page, allow_preflight

if TYPE_CHECKING:
    import uuid

    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from control_plane.dialects.cross_origin import AllowedOrigins

REQUEST_ID: Final = "X-Request-ID"
_FIT_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")


SECURITY: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The API is data, and one page without scripts: nothing of it is kept, framed, or run."""

STAND_IN: Final = {"HEAD": "GET", "OPTIONS": "CONNECT"}
"""As which method HEAD and OPTIONS are routed. No route has CONNECT."""

NO_SUCH_METHOD: Final = ("OPTIONS", HTTP_405_METHOD_NOT_ALLOWED)
"""The method that was asked for, and the status of routing's refusal."""


def request_id_of(scope: Scope) -> str:
    """Give the name of a request in the logs: the caller's own if it is fit to be one, else a new one."""
    state = scope["state"]
    if "request_id" not in state:
        given = dict(scope["headers"]).get(REQUEST_ID.lower().encode(), b"")
        state["request_id"] = given.decode() if _FIT_REQUEST_ID.fullmatch(given) else new_id().hex
    request_id: str = state["request_id"]
    return request_id


async def add_response_headers(message: Message, scope: Scope) -> None:
    """Put the request's id, what a browser must not do, and what guards left, on any response."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    headers[REQUEST_ID] = request_id_of(scope)
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
    for name, value in scope["state"].get("response_headers", {}).items():
        headers[name] = value


class CommonMethods:
    """Answers HEAD and OPTIONS everywhere, so that no handler has to, and pages of other origins.

    HEAD is GET without the body. OPTIONS is answered without authentication, from what routing says
    to a method that no route has: its refusal lists the methods that there are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
        tenants = await self._find_tenants(scope, origin) if origin else frozenset()
        method = scope["method"]

        async def send_adapted(message: Message) -> None:
            if message["type"] == "http.response.start":
                if (method, message["status"]) == NO_SUCH_METHOD:
                    allowed = MutableScopeHeaders.from_message(message)["Allow"]
                    message["status"] = HTTP_204_NO_CONTENT
                    message["headers"] = [(b"allow", allowed.encode())]
                    if tenants:
                        allow_preflight(message, origin)
                if origin:
                    allow_page(message, scope, origin, tenants)
            if message["type"] == "http.response.body" and method in STAND_IN:
                message["body"] = b""
            await send(message)

        scope["method"] = STAND_IN.get(method, method)
        await self.app(scope, receive, send_adapted)

    async def _find_tenants(self, scope: Scope, origin: str) -> frozenset[uuid.UUID]:
        """Give the tenants that allow an origin; none while Postgres is away, which the request will tell."""
        allowed: AllowedOrigins = scope["litestar_app"].state.allowed_origins
        try:
            return await allowed.find_tenants(origin)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return frozenset()
