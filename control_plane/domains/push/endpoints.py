"""What a browser's subscription must look like. Raises Invalid with every fault."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.push.model import SubscriptionKeys

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PUBLIC_KEY_BYTES: Final = 65
UNCOMPRESSED: Final = 4
"""First byte of a point that is given with both coordinates."""
AUTH_BYTES: Final = 16

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def read_subscription(
    endpoint: str, p256dh: str, auth: str, *, allow_private_targets: bool
) -> SubscriptionKeys:
    """Check a subscription, and decode its keys. Raises Invalid.

    `allow_private_targets`: whether http:// to this machine will do.
    """
    faults = []
    if rule := _find_fault(endpoint, allow_loopback=allow_private_targets):
        faults.append(Fault("endpoint", rule, endpoint))
    public, secret = _decode(p256dh), _decode(auth)
    if public is None or not _is_point(public):
        faults.append(Fault("keys.p256dh", "must be an uncompressed point of P-256 in base64url", p256dh))
    if secret is None or len(secret) != AUTH_BYTES:
        # Not what was given: it is a secret.
        faults.append(Fault("keys.auth", f"must be {AUTH_BYTES} bytes in base64url"))
    if faults or public is None or secret is None:
        raise Invalid(faults)
    return SubscriptionKeys(public, secret)


def _find_fault(endpoint: str, *, allow_loopback: bool) -> str | None:
    try:
        parts = urlsplit(endpoint)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "must be a URL"
    if not endpoint.isascii() or not endpoint.isprintable() or any(sign in endpoint for sign in ' \\"<>'):
        return "must be a URL in ASCII, with all else encoded"
    if not (parts.scheme == "https" or (allow_loopback and parts.scheme == "http" and host in LOOPBACK)):
        return "must begin with https://"
    if not host or "@" in parts.netloc:
        return "must name a host, and no user"
    return "must have no fragment" if "#" in endpoint else None


def _decode(text: str) -> bytes | None:
    if not _BASE64URL.fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _is_point(key: bytes) -> bool:
    if len(key) != PUBLIC_KEY_BYTES or key[0] != UNCOMPRESSED:
        return False
    load: Callable[..., object] = EllipticCurvePublicKey.from_encoded_point
    try:
        load(SECP256R1(), key)
    except ValueError:
        return False
    return True
