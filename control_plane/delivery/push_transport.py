"""The way to push services: URLs that browsers, and so strangers, gave us.

The name is looked up once, every address must be public, and the connection goes to an address that was
checked. No redirect is followed, and of the answer only status and headers are read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final, Protocol

import httpx2
import msgspec

from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_S: Final = 15.0
"""For the look-up, the connection and the answer."""


class Answer(msgspec.Struct, frozen=True):
    """What a push service says. `headers`: names in lower case."""

    status: int
    headers: dict[str, str]


class PushTransport(Protocol):
    """Posts to a push service."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body. Raises DeliveryDelayed, DeliveryRefused."""


class GuardedTransport(PushTransport):
    """Posts to public addresses only. `allow_private`: to any, for tests and closed networks."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body. Raises DeliveryDelayed, DeliveryRefused."""
        target = httpx2.URL(url)
        host = target.raw_host.decode()
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            async with asyncio.timeout(ANSWER_S), httpx2.AsyncClient(trust_env=False) as client:
                address = await self._choose_address(host, port)
                request = client.build_request(
                    "POST",
                    target.copy_with(host=address),
                    headers={"Host": target.netloc.decode(), **headers},
                    content=body,
                    extensions={"sni_hostname": host},
                )
                response = await client.send(request, stream=True)
                await response.aclose()
        except (httpx2.HTTPError, OSError) as error:
            # Not its text: whoever knows the URL can send to that browser.
            raise DeliveryDelayed(f"the push service does not answer: {type(error).__name__}") from None
        return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()})

    async def _choose_address(self, host: str, port: int) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(sockaddr[0]) for *_, sockaddr in found]
        if not self._allow_private and not all(map(_is_public, addresses)):
            raise DeliveryRefused("the endpoint leads to an address that is not public")
        return addresses[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is not None:
            return _is_public(str(wrapped))
    return address.is_global and not address.is_multicast and not address.is_reserved
