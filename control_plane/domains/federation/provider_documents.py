"""What providers publish about themselves: their endpoints, and the keys that they sign with.

Both are kept for DOCUMENTS_LAST, per issuer, of which there are only the configured ones. A provider
that changes its keys does so without notice: one that is not known is asked for at once, but not more
often than each REFETCH_PAUSE, so that made-up keys lead to no storm.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from control_plane.core.secure_urls import is_secure
from control_plane.domains.federation.errors import OAuthRefused, ProviderUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.domains.federation.model import Provider
    from control_plane.domains.federation.provider_http import ProviderHttp

DOCUMENTS_LAST: Final = timedelta(hours=1)
REFETCH_PAUSE: Final = timedelta(seconds=60)
FAILURE_LASTS: Final = timedelta(seconds=10)
"""Longer than a request takes to fail: those who waited for it fail with it, instead of each in turn."""

MOST_KEYS: Final = 32
"""Google has two or three at a time."""

SMALLEST_KEY_BITS: Final = 2048
"""RFC 7518 asks for that many."""

SIGNATURE_ALGORITHM: Final = "RS256"
"""The one algorithm that tokens are signed with, whatever a token or a key claims."""


class Metadata(msgspec.Struct, frozen=True):
    """The part of a discovery document (OpenID Connect Discovery 1.0) that is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class ProviderDocuments:
    """Fetches and keeps the documents of providers."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._metadata: dict[str, tuple[datetime, Metadata]] = {}
        self._keys: dict[str, tuple[datetime, dict[str, RSAKey]]] = {}
        self._failures: dict[str, tuple[datetime, str]] = {}

    async def fetch_metadata(self, provider: Provider, now: datetime) -> Metadata:
        """Give a provider's endpoints. Raises ProviderUnavailable."""
        async with self._locks[provider.issuer]:
            return await self._fetch_metadata(provider, now)

    async def find_key(self, provider: Provider, kid: str, now: datetime) -> RSAKey:
        """Give the key of a provider with this id. Raises OAuthRefused, ProviderUnavailable."""
        async with self._locks[provider.issuer]:
            fetched_at, keys = self._keys.get(provider.issuer, (None, {}))
            lasts = DOCUMENTS_LAST if kid in keys else REFETCH_PAUSE
            if fetched_at is None or now - fetched_at >= lasts:
                metadata = await self._fetch_metadata(provider, now)
                keys = _read_keys(await self._get_json(provider, metadata.jwks_uri, now))
                self._keys[provider.issuer] = (now, keys)
        if kid not in keys:
            raise OAuthRefused(f"{provider.issuer} has no key {kid!r}")
        return keys[kid]

    async def _fetch_metadata(self, provider: Provider, now: datetime) -> Metadata:
        """Give a provider's endpoints; the caller holds its lock."""
        fetched_at, metadata = self._metadata.get(provider.issuer, (now, None))
        if metadata is None or now - fetched_at >= DOCUMENTS_LAST:
            url = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
            metadata = _read_metadata(provider, await self._get_json(provider, url, now))
            self._metadata[provider.issuer] = (now, metadata)
        return metadata

    async def _get_json(self, provider: Provider, url: str, now: datetime) -> Any:
        """Fetch a document, unless the provider has just failed; the caller holds its lock."""
        failed_at, reason = self._failures.get(provider.issuer, (now, ""))
        if reason and now - failed_at < FAILURE_LASTS:
            raise ProviderUnavailable(reason)
        try:
            return await self._http.get_json(url)
        except ProviderUnavailable as error:
            self._failures[provider.issuer] = (now, error.reason)
            raise


def _read_metadata(provider: Provider, document: Any) -> Metadata:
    """Read a discovery document. Raises ProviderUnavailable unless it is this issuer's, and secure."""
    try:
        metadata = msgspec.convert(document, Metadata)
    except msgspec.ValidationError as error:
        raise ProviderUnavailable(f"the discovery document of {provider.issuer}: {error}") from error
    if metadata.issuer != provider.issuer:
        raise ProviderUnavailable(f"{provider.issuer} calls itself {metadata.issuer!r}")
    may_be_plain = provider.issuer.startswith("http:")
    for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
        if not is_secure(url) or (url.startswith("http:") and not may_be_plain):
            raise ProviderUnavailable(f"{provider.issuer} names an endpoint that is not secure: {url!r}")
    return metadata


def _read_keys(document: Any) -> dict[str, RSAKey]:
    """Read the keys of a key set that may sign; the others are none of ours."""
    try:
        published = msgspec.convert(document, dict[str, Any])["keys"]
        candidates = msgspec.convert(published, list[dict[str, Any]])
    except (msgspec.ValidationError, KeyError) as error:
        raise ProviderUnavailable("the key set has no list of keys") from error
    return {key["kid"]: imported for key in candidates[:MOST_KEYS] if (imported := _import_key(key))}


def _import_key(published: dict[str, Any]) -> RSAKey | None:
    """Import the public half of a signing key; None for any other kind of key, and for weak ones."""
    purpose = (published.get("kty"), published.get("use", "sig"), published.get("alg", SIGNATURE_ALGORITHM))
    if purpose != ("RSA", "sig", SIGNATURE_ALGORITHM) or not isinstance(published.get("kid"), str):
        return None
    try:
        key = RSAKey.import_key({"kty": "RSA", "n": published["n"], "e": published["e"]})
        bits = key.public_key.key_size
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return key if bits >= SMALLEST_KEY_BITS else None
