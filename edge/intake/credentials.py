"""Who may send postbacks: whoever knows the project's secret, or has an API key of its tenant.

A signature is the HMAC-SHA256, in hex, of all other parameters: names and values percent-encoded
(RFC 3986; a space is %20), joined by `=`, sorted, joined by `&`. Its key is the SHA-256 of the secret as
hex digits: so the edge need not know the secret.
"""

from __future__ import annotations

import hashlib
import hmac
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from edge.intake.answers import Refusal
from edge.request import parse_address

if TYPE_CHECKING:
    from edge.contract.intake_record import IntakeKeyRecord, ProjectRecord

_BEARER: Final = "bearer "


def refuse_invalid() -> Refusal:
    """Make the refusal of what is not authorised. It does not say why."""
    message = "The token, signature or key is not valid for this project."
    return Refusal(401, "unauthorized", message)


class Credential:
    """What a postback proves itself with. `secret`: a project's secret or an API key."""

    def __init__(self, given: dict[str, str], authorization: str, pairs: list[tuple[str, str]]) -> None:
        """Find it. Raises Refusal when there is none."""
        self.signature = given.get("signature", "")
        self._pairs = pairs
        bearer = authorization[len(_BEARER) :] if authorization[: len(_BEARER)].lower() == _BEARER else ""
        self.secret = given.get("token") or given.get("api_key") or bearer.strip()
        if not (self.signature or self.secret):
            message = "A postback needs token, signature or api_key, or a bearer token."
            raise Refusal(401, "unauthorized", message)

    def is_of_project(self, project: ProjectRecord, now_ms: int) -> bool:
        """Tell whether it shows that the sender knows the project's secret, or the one before."""
        hashes = [project.secret_hash]
        if now_ms < project.previous_secret_until_ms:
            hashes.append(project.previous_secret_hash)
        return any([self._matches(known) for known in hashes if known])  # noqa: C419  takes as long either way

    def _matches(self, secret_hash: bytes) -> bool:
        if self.signature:
            message = canonical_text(self._pairs).encode(errors="replace")
            expected = hmac.new(secret_hash.hex().encode(), message, hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected.encode(), self.signature.lower().encode(errors="replace"))
        given = hashlib.sha256(self.secret.encode(errors="replace")).digest()
        return hmac.compare_digest(given, secret_hash)


def canonical_text(pairs: list[tuple[str, str]]) -> str:
    """Give what a signature is of."""
    return "&".join(
        sorted(f"{_encode(name)}={_encode(value)}" for name, value in pairs if name.lower() != "signature")
    )


def _encode(text: str) -> str:
    return quote(text, safe="", errors="replace")


def allows(key: IntakeKeyRecord | None, ip: str, now_ms: int) -> bool:
    """Tell whether an API key may be used now, from there."""
    if key is None or not key.is_active or 0 < key.expires_at_ms <= now_ms:
        return False
    if not key.allowed_ips:
        return True
    address = parse_address(ip)
    return address is not None and any(
        address in ip_network(block, strict=False) for block in key.allowed_ips
    )
