"""What may be a destination: an address on the web that does not lead back to the edge."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LOOPBACK: Final = "loopback"
_HOST: Final = re.compile(r"""[^\s/\\?#@:\[\]{}<>"'`^|%]+""")


def find_broken_rules(url: str, edge_url: str) -> list[str]:
    """List the rules that a destination breaks, each a phrase that begins with "must"."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return ["must not contain spaces or control characters"]
    try:
        parts = urlsplit(url)
    except ValueError:
        return ["must be a URL with a valid host"]
    if "{" in parts.netloc:
        return ["must not have a macro in its scheme or host"]
    broken = []
    if parts.scheme not in DEFAULT_PORTS:
        broken.append("must begin with http:// or https://")
    if "@" in parts.netloc:
        broken.append("must not contain credentials")
    elif not _has_valid_host(parts):
        broken.append("must have a valid host")
    if not _has_valid_port(parts):
        broken.append("must have a port from 1 to 65535")
    if not broken and _lead_to_same_server(parts, urlsplit(edge_url)):
        broken.append(f"must not lead back to {edge_url}")
    return broken


def is_loopback(host: str) -> bool:
    """Tell whether a host is this very machine."""
    return _canonical_host(host) == LOOPBACK


def _has_valid_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if "[" in parts.netloc:
        return _read_ip(host) is not None
    return _HOST.fullmatch(host) is not None and not host.startswith(".") and ".." not in host


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _lead_to_same_server(one: SplitResult, edge: SplitResult) -> bool:
    """Compare hosts and ports. An edge on its scheme's usual port answers on the other one too."""
    if _canonical_host(one.hostname or "") != _canonical_host(edge.hostname or ""):
        return False
    edge_port = edge.port or DEFAULT_PORTS[edge.scheme]
    port = one.port or DEFAULT_PORTS[one.scheme]
    usual = set(DEFAULT_PORTS.values())
    return port == edge_port or (port in usual and edge_port in usual)


def _canonical_host(host: str) -> str:
    """Give one spelling per host; every name of this very machine's loopback is LOOPBACK."""
    host = unicodedata.normalize("NFKC", host).rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return LOOPBACK
    address = _read_ip(host)
    if address is None:
        return host.encode("idna").decode() if _is_encodable(host) else host
    return LOOPBACK if address.is_loopback or address.is_unspecified else str(address)


def _is_encodable(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _read_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address as browsers do: also 127.1, 0x7f.1 and IPv4 within IPv6."""
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        return address.ipv4_mapped or address
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
