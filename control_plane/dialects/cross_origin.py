"""Pages of other origins: each tenant says which ones may call the API (`allowed_origins`).

A preflight tells nothing of who will call, so it is answered for an origin that any tenant allows. The
answer to the call itself is given to the page only if the caller's own tenant allows its origin. The one
cookie that there may be (identity/token_answers.py) counts only beside a header that no form can send.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from litestar.datastructures import MutableScopeHeaders

if TYPE_CHECKING:
    import uuid

    from litestar.types import Message, Scope

    from control_plane.dialects.services import Services

ORIGIN_LENGTH: Final = 300
CACHE_S: Final = 1.0
"""How long an answer on an origin is believed: a change of `allowed_origins` holds after a second."""
CACHE_SIZE: Final = 1000

PREFLIGHT: Final = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept-Language, X-API-Key, X-Tenant, "
    "Idempotency-Key, X-Request-ID, X-Refresh-Cookie",
    "Access-Control-Max-Age": "600",
}
EXPOSED: Final = (
    "X-Request-ID, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-Rate-Limit-Remaining, X-Blog-Write-Limit, X-Blog-Write-Remaining, X-Blog-Write-Reset"
)


class AllowedOrigins:
    """Which tenants allow an origin, asked of Postgres and remembered for a moment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: OrderedDict[str, tuple[float, frozenset[uuid.UUID]]] = OrderedDict()

    async def find_tenants(self, origin: str) -> frozenset[uuid.UUID]:
        """Give the tenants that allow an origin; none for what is too long to be one."""
        if len(origin) > ORIGIN_LENGTH:
            return frozenset()
        known = self._known.get(origin)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        async with self._services.system_transaction() as db:
            rows = await db.fetch("SELECT id FROM tenants WHERE allowed_origins @> ARRAY[$1]", origin)
        found = frozenset(row["id"] for row in rows)
        self._known[origin] = (time.monotonic() + CACHE_S, found)
        self._known.move_to_end(origin)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return found


def allow_preflight(message: Message, origin: str) -> None:
    """Put on the answer to a preflight what the page may send. `Allow` says by which methods."""
    headers = MutableScopeHeaders.from_message(message)
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Allow-Credentials"] = "true"
    headers["Access-Control-Allow-Methods"] = headers.get("Allow", "")
    for name, value in PREFLIGHT.items():
        headers[name] = value


def allow_page(message: Message, scope: Scope, origin: str, tenants: frozenset[uuid.UUID]) -> None:
    """Let the page read an answer if the caller's tenant allows its origin; any may, for a caller without."""
    headers = MutableScopeHeaders.from_message(message)
    headers.add("Vary", "Origin")
    caller = scope["state"].get("actor") or scope["state"].get("account")
    tenant_id = getattr(caller, "tenant_id", None)
    if tenants and (tenant_id is None or tenant_id in tenants):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = EXPOSED
