"""What surrounds every response of every dialect: its headers, and HEAD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from litestar.datastructures import MutableScopeHeaders
from litestar.status_codes import HTTP_204_NO_CONTENT, HTTP_405_METHOD_NOT_ALLOWED

from control_plane.core.ids import new_id

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID: Final = "X-Request-ID"
_FIT_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")


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
    """Put the request's id, and what guards left in `response_headers`, on any response."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    headers[REQUEST_ID] = request_id_of(scope)
    for name, value in scope["state"].get("response_headers", {}).items():
        headers[name] = value


class CommonMethods:
    """Answers HEAD and OPTIONS everywhere, so that no handler has to.

    HEAD is GET without the body. OPTIONS is answered without authentication, from what routing says
    to a method that no route has: its refusal lists the methods that there are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["method"] not in STAND_IN:
            await self.app(scope, receive, send)
            return
        method = scope["method"]

        async def send_adapted(message: Message) -> None:
            if message["type"] == "http.response.start" and (method, message["status"]) == NO_SUCH_METHOD:
                allowed = MutableScopeHeaders.from_message(message)["Allow"]
                message["status"] = HTTP_204_NO_CONTENT
                message["headers"] = [(b"allow", allowed.encode())]
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        scope["method"] = STAND_IN[method]
        await self.app(scope, receive, send_adapted)
