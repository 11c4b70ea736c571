"""URLs that secrets may be sent to: https, or http that stays on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_secure(url: str) -> bool:
    """Tell whether a URL is absolute, and nobody on the way can read or change what goes there."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_redirect_uri(uri: str) -> bool:
    """Tell whether a sign-in may come back to a URI.

    It is a secure URL, or of a scheme that an app claims for itself, which by RFC 8252 is a domain
    name turned round and so has a dot. A fragment would swallow what is appended.
    """
    if "#" in uri or not uri.isascii() or not uri.isprintable() or " " in uri:
        return False
    scheme, colon, rest = uri.partition(":")
    return is_secure(uri) or bool(colon and rest and "." in scheme)
