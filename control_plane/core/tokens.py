"""JSON Web Tokens of users: HS256 only, whatever the token's own header claims.

A token that sign-in issues names its session (`sid`) and tenant (`tid`), so that it dies with the
session. One that an operator signs for key management (./switchyard token) has neither.

`kid` is the beginning of the SHA-256 of the signing secret: while a secret is being replaced, tokens
of the previous one are still known by it.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from control_plane.core.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc.jwk import GuestProtocol

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "authenticated"
KID_CHARACTERS: Final = 16


class InvalidToken(Unauthenticated):
    """The token is malformed, forged, expired, or meant for someone else."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("Invalid or expired token.")


class TokenClaims(msgspec.Struct, frozen=True):
    """What a token says of its bearer. `tenant_id`, `session_id`: None in a token without a session."""

    user_id: uuid.UUID
    tenant_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None


def issue_token(  # noqa: PLR0913  one argument per claim that differs
    user_id: uuid.UUID,
    *,
    secret: str,
    issuer: str,
    now: datetime,
    ttl_s: int,
    session: tuple[uuid.UUID, uuid.UUID] | None = None,
) -> str:
    """Sign a token for `ttl_s` seconds from `now`. `session`: (tenant id, session id), if it has one."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "role": "authenticated",
        "iat": issued_at,
        "exp": issued_at + ttl_s,
    }
    if session is not None:
        claims |= {"tid": str(session[0]), "sid": str(session[1])}
    key = _import_key(secret)
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])


def verify_token(
    token: str, *, secret: str, issuer: str, now: datetime, previous_secret: str = ""
) -> TokenClaims:
    """Give what a token says of its bearer. Raises InvalidToken.

    `previous_secret`: tokens that name it by `kid` are still good.
    """
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
    )
    keys = {key.kid: key for key in map(_import_key, filter(None, (previous_secret, secret)))}

    def find_key(header: GuestProtocol) -> OctKey:
        return keys[header.headers().get("kid", _import_key(secret).kid)]

    try:
        claims = jwt.decode(token, find_key, algorithms=[ALGORITHM]).claims
        registry.validate(claims)
        session = (uuid.UUID(claims["tid"]), uuid.UUID(claims["sid"])) if "sid" in claims else ()
        return TokenClaims(uuid.UUID(claims["sub"]), *session)
    except (JoseError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InvalidToken from error


@lru_cache(maxsize=8)
def _import_key(secret: str) -> OctKey:
    kid = hashlib.sha256(secret.encode()).hexdigest()[:KID_CHARACTERS]
    return OctKey.import_key(secret, {"kid": kid})
