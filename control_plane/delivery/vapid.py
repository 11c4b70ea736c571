"""How push services know who sends: RFC 8292, a token signed with our key for each of them."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.domains.push.model import SenderKey

TOKEN_LASTS: Final = timedelta(hours=12)
"""Services refuse more than 24 hours; clocks differ."""

ALGORITHM: Final = "ES256"
COORDINATE_BYTES: Final = 32


def authorize(endpoint: str, key: SenderKey, subject: str, now: datetime) -> str:
    """Give the header Authorization of a request to an endpoint. `subject`: mailto: or https:, of ours."""
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc.lower()}",
        "exp": int((now + TOKEN_LASTS).timestamp()),
        "sub": subject,
    }
    token = jwt.encode({"typ": "JWT", "alg": ALGORITHM}, claims, _import_key(key), algorithms=[ALGORITHM])
    return f"vapid t={token}, k={_encode(key.public)}"


def _import_key(key: SenderKey) -> ECKey:
    x, y = key.public[1:][:COORDINATE_BYTES], key.public[1 + COORDINATE_BYTES :]
    return ECKey.import_key(
        {"kty": "EC", "crv": "P-256", "x": _encode(x), "y": _encode(y), "d": _encode(key.private)}
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
