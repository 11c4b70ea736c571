"""The authorization code flow of OpenID Connect, with PKCE (RFC 7636) and a nonce, from the client's side."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import structlog
from httpx2 import codes

from control_plane.domains.federation.errors import OAuthRefused, ProviderUnavailable
from control_plane.domains.federation.id_tokens import read_key_id, verify_id_token
from control_plane.domains.federation.provider_documents import ProviderDocuments
from control_plane.domains.federation.provider_http import TIMEOUT_S, ProviderHttp

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.domains.federation.model import Attempt, Departure, Person, Provider

LONGEST_ID_TOKEN: Final = 16 * 1024

_log = structlog.get_logger(__name__)


class OidcClient:
    """Sends people to providers, and finds out who comes back. Never called inside a transaction."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._http = ProviderHttp(timeout_s)
        self._documents = ProviderDocuments(self._http)

    async def build_authorization_url(self, provider: Provider, departure: Departure, now: datetime) -> str:
        """Give the URL that somebody signs in at. Raises ProviderUnavailable."""
        try:
            metadata = await self._documents.fetch_metadata(provider, now)
        except ProviderUnavailable as error:
            _note(provider, error)
            raise
        query = urlencode(
            {
                "response_type": "code",
                "client_id": provider.client_id,
                "redirect_uri": departure.attempt.redirect_uri,
                "scope": provider.scope,
                "state": departure.state,
                "nonce": departure.attempt.nonce,
                "code_challenge": departure.code_challenge,
                "code_challenge_method": "S256",
            }
        )
        endpoint = urlsplit(metadata.authorization_endpoint)
        return endpoint._replace(query=f"{endpoint.query}&{query}".lstrip("&"), fragment="").geturl()

    async def identify(
        self, provider: Provider, attempt: Attempt, code: str, code_verifier: str, now: datetime
    ) -> Person:
        """Exchange a code for the provider's word on who came back. Raises OAuthRefused, ProviderUnavailable.

        `attempt`: the one that the code came back with, already used up.
        """
        try:
            token = await self._exchange_code(provider, attempt, code, code_verifier, now)
            key = await self._documents.find_key(provider, read_key_id(token), now)
            return verify_id_token(token, key, provider, attempt.nonce, now)
        except (OAuthRefused, ProviderUnavailable) as error:
            _note(provider, error)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange_code(
        self, provider: Provider, attempt: Attempt, code: str, code_verifier: str, now: datetime
    ) -> str:
        """Give the id_token that a code stands for."""
        metadata = await self._documents.fetch_metadata(provider, now)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": code_verifier,
        }
        headers = {}
        if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            headers["Authorization"] = _basic_credentials(provider)
        else:
            form |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
        status, answer = await self._http.post_form(metadata.token_endpoint, form, headers)
        if status != codes.OK:
            raise _read_refusal(status, answer)
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or len(token) > LONGEST_ID_TOKEN or not token.isascii():
            raise ProviderUnavailable("the token endpoint gave no id_token")
        return token


def _basic_credentials(provider: Provider) -> str:
    """Give the credentials as RFC 6749, section 2.3.1, wants them: each encoded as in a form."""
    pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _read_refusal(status: int, answer: Any) -> OAuthRefused | ProviderUnavailable:
    """Tell a code that is no good from everything else, which is not the person's fault."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if error == "invalid_grant":
        return OAuthRefused("the provider refused the code")
    return ProviderUnavailable(f"the token endpoint answered {status}, {error!r}")


def _note(provider: Provider, error: OAuthRefused | ProviderUnavailable) -> None:
    """Log what the caller is not told."""
    _log.warning(error.code, provider=provider.name.value, reason=error.reason)
