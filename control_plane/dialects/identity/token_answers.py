"""Tokens as the identity contract shapes them, and the cookie for pages that ask for one.

A page cannot keep a refresh token where no script of others reads it. If it asks (X-Refresh-Cookie: 1), the
token is in a cookie that scripts cannot read, in place of the body. The cookie counts only beside that
header, which a page of another origin may send only if a tenant allows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar import Response
from litestar.datastructures import Cookie

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects.identity.shapes import UserOut, present_user
from control_plane.dialects.identity.tenant_shapes import TenantOut, show_tenant
from control_plane.dialects.services import services_of
from control_plane.domains.tenants import service as tenants
from control_plane.domains.users import service as users

if TYPE_CHECKING:
    from datetime import datetime

    from litestar import Request

    from control_plane.db.pool import Connection
    from control_plane.domains.sessions.model import IssuedTokens

T = TypeVar("T")

WANTED: Final = "X-Refresh-Cookie"
COOKIE: Final = "switchyard_refresh"
COOKIE_PATH: Final = "/v1/auth"


class TokensOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a client goes on with. `refresh_token`: empty when it is in the cookie."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105  the scheme's name
    expires_in: int
    user: UserOut
    tenant: TenantOut


async def present_tokens(db: Connection, tokens: IssuedTokens, now: datetime) -> TokensOut:
    """Shape tokens, with the user and the tenant that they are for."""
    user = await users.fetch_user(db, tokens.tenant_id, tokens.user_id)
    return TokensOut(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_in=tokens.expires_in_s,
        user=await present_user(db, user, now),
        tenant=show_tenant(await tenants.fetch_tenant(db, tokens.tenant_id)),
    )


def answer_tokens(request: Request[Any, Any, Any], tokens: TokensOut) -> Response[TokensOut]:
    """Answer with tokens, the refresh token in a cookie if the page asks for that."""
    if not _is_wanted(request):
        return Response(tokens, status_code=200)
    answer = Response(msgspec.structs.replace(tokens, refresh_token=""), status_code=200)
    lasts_s = services_of(request).settings.session_ttl_s
    answer.set_cookie(_bake(request, tokens.refresh_token, lasts_s))
    return answer


def read_refresh_token(request: Request[Any, Any, Any], given: str) -> str:
    """Give the refresh token of a request: the body's, else the cookie's. Raises Invalid."""
    token = given or (request.cookies.get(COOKIE, "") if _is_wanted(request) else "")
    if not token:
        raise Invalid([Fault("refresh_token", "is required")])
    return token


def drop_cookie(request: Request[Any, Any, Any], answer: Response[T]) -> Response[T]:
    """Have the browser forget the cookie, if it has one."""
    if COOKIE in request.cookies:
        answer.set_cookie(_bake(request, "", 0))
    return answer


def _is_wanted(request: Request[Any, Any, Any]) -> bool:
    return request.headers.get(WANTED) == "1"


def _bake(request: Request[Any, Any, Any], value: str, lasts_s: int) -> Cookie:
    is_secure = services_of(request).settings.api_url.startswith("https:")
    return Cookie(
        key=COOKIE,
        value=value,
        path=COOKIE_PATH,
        max_age=lasts_s,
        httponly=True,
        secure=is_secure,
        samesite="strict",
    )
