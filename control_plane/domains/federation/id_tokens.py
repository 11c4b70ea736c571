"""Check an id_token (OpenID Connect Core 1.0, section 3.1.3.7): who came back, if anybody did."""

from __future__ import annotations

import binascii
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from msgspec import Meta

from control_plane.domains.federation.errors import OAuthRefused
from control_plane.domains.federation.model import Person
from control_plane.domains.federation.provider_documents import SIGNATURE_ALGORITHM

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc.jwk import RSAKey

    from control_plane.domains.federation.model import Provider

CLOCK_SKEW_S: Final = 60
LONGEST_EMAIL: Final = 254
LONGEST_NAME: Final = 200

_MALFORMED: Final = (JoseError, ValueError, TypeError, KeyError, AttributeError, binascii.Error)
"""What joserfc raises on input that nobody signed."""

Seconds = Annotated[float, Meta(ge=0, le=1e11)]
"""Since 1970; whole or not."""


class IdTokenClaims(msgspec.Struct, frozen=True):
    """The claims that a token must have, and those that must be right where they stand."""

    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    aud: str | list[str]
    exp: Seconds
    iat: Seconds
    nonce: str | None = None
    azp: str | None = None


def read_key_id(token: str) -> str:
    """Give the id of the key that a token says it is signed with. Raises OAuthRefused."""
    try:
        header = jws.extract_compact(token.encode()).headers()
    except _MALFORMED as error:
        raise OAuthRefused("the id_token is malformed") from error
    if header.get("alg") != SIGNATURE_ALGORITHM:
        raise OAuthRefused(f"the id_token is signed with {header.get('alg')!r}, not {SIGNATURE_ALGORITHM}")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise OAuthRefused("the id_token names no key")
    return kid


def verify_id_token(token: str, key: RSAKey, provider: Provider, nonce: str, now: datetime) -> Person:
    """Give whom a token vouches for. Raises OAuthRefused.

    `key`: the provider's, by read_key_id. `nonce`: what the attempt sent along.
    """
    try:
        document = jwt.decode(token, key, algorithms=[SIGNATURE_ALGORITHM]).claims
        claims = msgspec.convert(document, IdTokenClaims)
    except _MALFORMED as error:
        raise OAuthRefused(f"the id_token does not verify: {error}") from error
    if reason := _find_fault(claims, provider, nonce, now.timestamp()):
        raise OAuthRefused(f"the id_token's {reason}")
    return Person(
        provider=provider.name,
        issuer=provider.issuer,
        subject=claims.sub,
        email=_read_verified_email(document),
        full_name=_read_name(document),
    )


def _find_fault(claims: IdTokenClaims, provider: Provider, nonce: str, now_s: float) -> str | None:
    """Tell what is wrong with claims that are well-formed and signed."""
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    azp_is_ours = claims.azp == provider.client_id or (claims.azp is None and len(audiences) == 1)
    nonce_is_ours = not provider.echoes_nonce if claims.nonce is None else _equal(claims.nonce, nonce)
    rules = {
        f"iss is {claims.iss!r}": claims.iss in provider.issuers,
        f"aud is {claims.aud!r}": provider.client_id in audiences,
        f"azp is {claims.azp!r}": azp_is_ours,
        "exp is past": now_s < claims.exp + CLOCK_SKEW_S,
        "iat is in the future": claims.iat <= now_s + CLOCK_SKEW_S,
        "nonce is not the attempt's": nonce_is_ours,
        "sub is not printable ASCII": claims.sub.isascii() and claims.sub.isprintable(),
    }
    return next((fault for fault, holds in rules.items() if not holds), None)


def _equal(left: str, right: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return secrets.compare_digest(left.encode(errors="replace"), right.encode())


def _read_verified_email(claims: dict[str, Any]) -> str | None:
    """Give the address, if the provider has verified it and it can be one."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    local, _at, domain = email.rpartition("@")
    plausible = local and domain and len(email) <= LONGEST_EMAIL and email.isprintable() and " " not in email
    return email if plausible else None


def _read_name(claims: dict[str, Any]) -> str | None:
    """Give the name that a person goes by, if it can be shown."""
    name = claims.get("name")
    if not isinstance(name, str) or not name.isprintable():
        return None
    return name.strip()[:LONGEST_NAME] or None
