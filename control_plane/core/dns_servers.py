"""Which DNS servers to ask: a list in a setting."""

from __future__ import annotations

import ipaddress
from typing import Final

DNS_PORT: Final = 53


def read_servers(text: str) -> tuple[tuple[str, int], ...]:
    """Read `address:port` with commas; `:53` may be left out, IPv6 with a port stands in brackets.

    Raises ValueError, also for names: a server that is to resolve names cannot be one.
    """
    return tuple(_read_server(part.strip()) for part in text.split(",") if part.strip())


def _read_server(text: str) -> tuple[str, int]:
    address, port = text, str(DNS_PORT)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    number = int(port) if port.isdecimal() else 0
    if not 0 < number < 2**16:
        raise ValueError(f"{text!r} has no port from 1 to 65535")
    return str(ipaddress.ip_address(address)), number
