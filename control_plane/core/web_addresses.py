"""Hosts, origins and URLs that callers give to be shown to others: read, checked and normalised.

Nothing here asks a name server: these addresses are for browsers. What this server fetches itself
needs more than that.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import idna

from control_plane.core.public_addresses import is_public

if TYPE_CHECKING:
    from urllib.parse import SplitResult

LONGEST_HOST: Final = 253
PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".home.arpa")
"""Names that no name server of the internet answers (RFC 6761, 6762, 8375 and ICANN's choice)."""

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Where a developer's browser runs what it shows: here alone an origin may be without TLS."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNSAFE: Final = re.compile(r"[\s\"'<>\\^`{|}]")
"""What no URL needs, and what would end an attribute that somebody writes one into."""


def normalise_host(text: str) -> str | None:
    """Give a host name in lower case and A-labels; None for what is none, as an address is."""
    try:
        host = idna.encode(text.removesuffix("."), uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        return None
    if len(host) > LONGEST_HOST or not _HOST.fullmatch(host):
        return None
    # A browser reads a name that ends in a number as an IPv4 address, in whichever notation.
    return None if _NUMBER.fullmatch(host.rpartition(".")[2]) else host


def normalise_origin(text: str) -> str | None:
    """Give an origin as a browser writes it, as in https://shop.example:8443; None for what is none.

    Only with TLS, but for this very machine.
    """
    parts = _split(text)
    if parts is None or parts.path not in {"", "/"} or "?" in text or "#" in text:
        return None
    host = _read_host(parts)
    if host is None or not (parts.scheme == "https" or (parts.scheme == "http" and host in LOCAL_HOSTS)):
        return None
    port = parts.port
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in {None, DEFAULT_PORTS[parts.scheme]} else f":{port}")


def find_broken_rule(url: str) -> str | None:
    """Give the rule that a URL to be shown breaks, a phrase that begins with "must"; None if it keeps all."""
    parts = _split(url)
    if parts is None:
        return "must be a URL without spaces, quotes and credentials, with a valid host and port"
    if parts.scheme != "https":
        return "must begin with https://"
    host = _read_host(parts)
    if host is None:
        return "must have a valid host"
    return None if _is_public(host) else "must have a host that everybody can reach"


def _split(text: str) -> SplitResult | None:
    """Split a URL; None for what browsers and Python could read differently."""
    if _UNSAFE.search(text) or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        if parts.port == 0 or "@" in parts.netloc or parts.netloc.endswith(":"):
            return None
    except ValueError:
        return None
    return parts


def _read_host(parts: SplitResult) -> str | None:
    """Give the host of a URL, a name or an address in its usual notation."""
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return normalise_host(host)
    return str(address) if "%" not in host else None


def _is_public(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith(PRIVATE_SUFFIXES)
    return is_public(address)
