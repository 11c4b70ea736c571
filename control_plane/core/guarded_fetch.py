"""Requests to URLs that strangers give: domains to be proven, webhooks.

The guard stands where connections are made, below everything that knows of HTTP. It resolves the name
once, refuses it unless every one of its addresses is public, and connects to an address that it has
checked: a name that leads elsewhere a moment later leads nowhere. Host and SNI remain the name.

    FetchFailed            there is no answer
    ├── TargetRefused      the URL, or where it leads, is not one to connect to
    └── TargetUnknown      the DNS did not say where it leads
"""

from __future__ import annotations

import asyncio
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpcore2
import msgspec

from control_plane.core.name_resolver import LookupFailed, NameEmpty
from control_plane.core.public_addresses import is_public

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping, Sequence
    from urllib.parse import SplitResult

    from httpcore2 import AsyncNetworkStream
    from httpcore2._types import SOCKET_OPTION

    from control_plane.core.name_resolver import NameResolver
    from control_plane.core.public_addresses import Address

FETCH_TIMEOUT_S: Final = 10.0
"""For all of it: the look-up, the connection, the request and the answer."""

CONNECT_TIMEOUT_S: Final = 4.0
"""For one address, so that another one gets its turn."""

BODY_LIMIT: Final = 64 * 1024
"""Bytes of an answer that are read; the rest is cut off."""

PORTS: Final = {"http": 80, "https": 443}
USER_AGENT: Final = "Switchyard"


class FetchFailed(Exception):  # noqa: N818  named for what happened
    """There is no answer. `str(error)`: a phrase that says why."""


class TargetRefused(FetchFailed):
    """The URL, or an address that it leads to, is not one to connect to; nothing was sent."""


class TargetUnknown(FetchFailed):
    """The DNS did not say where the URL leads."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. `body`: as it was sent, without decompression. `is_cut`: whether there was more of it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_cut: bool


class GuardedFetcher:
    """Sends single requests to public addresses, on ports 80 and 443; follows no redirect.

    `allow_private`: any address and any port will do. Only for tests and for closed networks.
    """

    def __init__(self, resolver: NameResolver, *, allow_private: bool = False) -> None:
        self._backend = _GuardedBackend(resolver, allow_private=allow_private)
        self._allow_private = allow_private

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Fetched:
        """Send one request on a connection of its own. Raises FetchFailed and its kinds."""
        target = read_target(url, any_port=self._allow_private)
        own = {"Host": _host_header(target), "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
        sent = own | dict(headers or {})
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                httpcore2.AsyncConnectionPool(ssl_context=_trust(), network_backend=self._backend) as pool,
                pool.stream(method, target, headers=list(sent.items()), content=content) as response,
            ):
                body, is_cut = await _read_body(response)
        except TimeoutError as error:
            raise FetchFailed(f"it did not answer within {FETCH_TIMEOUT_S:g} s") from error
        except (httpcore2.NetworkError, httpcore2.TimeoutException, OSError) as error:
            raise FetchFailed("no connection could be made, or it broke") from error
        except (httpcore2.ProtocolError, ValueError) as error:
            raise FetchFailed("it did not answer as HTTP has it") from error
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        return Fetched(status=response.status, headers=fields, body=body, is_cut=is_cut)


def read_target(url: str, *, any_port: bool = False) -> httpcore2.URL:
    """Take a URL apart, once and for all. Raises TargetRefused.

    The name must be plain ASCII already: whoever stores URLs makes A-labels of it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise TargetRefused("the URL is malformed") from error
    _check_parts(url, parts, host)
    if port not in PORTS.values() and not any_port:
        raise TargetRefused(f"port {port} is not one of 80 and 443")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore2.URL(scheme=parts.scheme, host=host, port=port, target=target)


def _check_parts(url: str, parts: SplitResult, host: str) -> None:
    if parts.scheme not in PORTS:
        raise TargetRefused("the URL must begin with http:// or https://")
    if not url.isascii() or not url.isprintable() or any(character in url for character in ' \\"<>'):
        raise TargetRefused("the URL has characters that must be encoded")
    if "@" in parts.netloc:
        raise TargetRefused("the URL must not hold a user name")
    if not host:
        raise TargetRefused("the URL names no host")


async def choose_addresses(
    resolver: NameResolver, host: str, *, allow_private: bool = False
) -> Sequence[Address]:
    """Give the addresses of a host, each of them checked. Raises FetchFailed and its kinds."""
    addresses: Sequence[Address]
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        try:
            addresses = await resolver.find_addresses(host)
        except NameEmpty as error:
            raise FetchFailed(str(error)) from error
        except LookupFailed as error:
            raise TargetUnknown(str(error)) from error
    refused = [] if allow_private else [address for address in addresses if not is_public(address)]
    if refused:
        raise TargetRefused(f"{host} leads to {refused[0]}, which is no public address")
    return addresses


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Makes connections to addresses that it has resolved and checked itself."""

    def __init__(self, resolver: NameResolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the library's signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first address of `host` that takes the connection."""
        del timeout
        failure: Exception | None = None
        for address in await choose_addresses(self._resolver, host, allow_private=self._allow_private):
            try:
                return await self._plain.connect_tcp(
                    str(address), port, CONNECT_TIMEOUT_S, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure


async def _read_body(response: httpcore2.Response) -> tuple[bytes, bool]:
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > BODY_LIMIT:
            return bytes(body[:BODY_LIMIT]), True
    return bytes(body), False


def _host_header(target: httpcore2.URL) -> str:
    host = target.host.decode()
    name = f"[{host}]" if ":" in host else host
    return name if target.port in {None, PORTS[target.scheme.decode()]} else f"{name}:{target.port}"


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Trust the system's authorities. Reading them takes longer than many a request."""
    return httpcore2.default_ssl_context()
