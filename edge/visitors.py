"""Who asks: address, country and what the browser calls itself, for redirects and reports alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.contract.events import encode_event

if TYPE_CHECKING:
    from edge.contract.events import Event
    from edge.geo import CountryLookup
    from edge.request import EdgeRequest, ProxyTrust


class Visitors:
    """Tells visitors by their requests, as seen behind trusted proxies."""

    def __init__(self, countries: CountryLookup, trust: ProxyTrust) -> None:
        self._countries = countries
        self._trust = trust

    def identify(self, request: EdgeRequest) -> tuple[str, str, bool]:
        """Tell who asks: address, country ("" when unknown), whether over TLS."""
        is_secure = request.scheme == "https"
        if not self._trust.trusts(request.peer):
            return request.peer, self._countries.find_country(request.peer, None), is_secure
        ip = self._trust.find_client(request)
        is_secure = is_secure or request.headers.get("x-forwarded-proto") == "https"
        return ip, self._countries.find_country(ip, request.headers), is_secure


def encode_any_text(event: Event) -> bytes:
    """Encode an event, replacing what a server made of bytes that are no text: UTF-8 cannot hold it."""
    try:
        return encode_event(event)
    except UnicodeEncodeError:
        texts = {
            name: value.encode(errors="replace").decode()
            for name in event.__struct_fields__
            if isinstance(value := getattr(event, name), str)
        }
        return encode_event(msgspec.structs.replace(event, **texts))
