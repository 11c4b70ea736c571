"""Requests to providers: bounded in time and size, never redirected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httpx2
import msgspec

from control_plane.domains.federation.errors import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S: Final = 8.0
"""For a whole answer, to its last byte: somebody waits for it in front of a screen."""

LARGEST_ANSWER_BYTES: Final = 256 * 1024
"""Discovery documents and key sets have some 2 KiB, answers with tokens some 4 KiB."""

HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""What is not compressed cannot grow when it is read."""


class ProviderHttp:
    """Makes requests of providers. The environment's proxies and .netrc are left aside."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client: httpx2.AsyncClient | None = None

    async def get_json(self, url: str) -> Any:
        """Fetch a document. Raises ProviderUnavailable."""
        status, body = await self._fetch("GET", url)
        if status != httpx2.codes.OK:
            raise ProviderUnavailable(f"{url} answered {status}")
        return _decode(url, body)

    async def post_form(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Send a form: (status, document), for a status of 2xx or 4xx. Raises ProviderUnavailable."""
        status, body = await self._fetch("POST", url, data=dict(form), headers=dict(headers))
        if not (httpx2.codes.is_success(status) or httpx2.codes.is_client_error(status)):
            raise ProviderUnavailable(f"{url} answered {status}")
        return status, _decode(url, body)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _fetch(self, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        """Give status and body. The caller's patience and ours end at the same time for all of it."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._open().stream(method, url, **request) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > LARGEST_ANSWER_BYTES:
                        raise ProviderUnavailable(f"{url} answered more than {LARGEST_ANSWER_BYTES} bytes")
                return response.status_code, bytes(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise ProviderUnavailable(f"{url}: {error!r}") from error

    def _open(self) -> httpx2.AsyncClient:
        """Give the client. Reading the system's certificates takes a while, so not before it is needed."""
        if self._client is None:
            self._client = httpx2.AsyncClient(
                headers=HEADERS, timeout=self._timeout_s, follow_redirects=False, trust_env=False
            )
        return self._client


def _decode(url: str, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderUnavailable(f"{url} did not answer with JSON") from error
