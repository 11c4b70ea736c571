"""JSON Web Tokens of users: HS256 only, whatever the token's own header claims."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from control_plane.core.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "authenticated"


class InvalidToken(Unauthenticated):
    """The token is malformed, forged, expired, or meant for someone else."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("Invalid or expired token.")


def issue_token(user_id: uuid.UUID, *, secret: str, issuer: str, now: datetime, ttl_s: int) -> str:
    """Sign a token that lets `user_id` manage API keys for `ttl_s` seconds from `now`."""
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "role": "authenticated",
        "iat": issued_at,
        "exp": issued_at + ttl_s,
    }
    return jwt.encode({"alg": ALGORITHM}, claims, OctKey.import_key(secret), algorithms=[ALGORITHM])


def verify_token(token: str, *, secret: str, issuer: str, now: datetime) -> uuid.UUID:
    """Give the id of the user to whom the token was issued. Raises InvalidToken."""
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        sub={"essential": True},
    )
    try:
        claims = jwt.decode(token, OctKey.import_key(secret), algorithms=[ALGORITHM]).claims
        registry.validate(claims)
        return uuid.UUID(claims["sub"])
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken from error
