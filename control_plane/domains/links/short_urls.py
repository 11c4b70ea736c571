"""Where visitors find a link, and what else the edge serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import idna

from control_plane.domains.links.destinations import is_loopback

if TYPE_CHECKING:
    from urllib.parse import SplitResult

HTTPS: Final = "https"


def build_short_url(domain: str, slug: str, edge_url: str) -> str:
    """Give a link's address. `domain`: "" for the service's own names, which `edge_url` stands for."""
    return f"{build_base_url(domain, edge_url)}/{slug}"


def build_base_url(domain: str, edge_url: str) -> str:
    """Give what addresses at a domain begin with; see `build_short_url`. Without a slash at its end.

    A custom domain is reached by https, whatever the service itself is reached by: its visitors come
    over the internet. Only beside an edge on this very machine, without TLS, it has that edge's port.
    """
    if not domain:
        return edge_url.rstrip("/")
    edge = urlsplit(edge_url)
    if edge.scheme != HTTPS and is_loopback(edge.hostname or ""):
        return f"{edge.scheme}://{domain}{_port_of(edge)}"
    return f"{HTTPS}://{domain}"


def _port_of(edge: SplitResult) -> str:
    return f":{edge.port}" if edge.port else ""


def spell_domain(text: str) -> str:
    """Spell a domain as verified ones are stored: lower-case A-labels. What is no name stays as it is."""
    try:
        return idna.encode(text.removesuffix("."), uts46=True).decode().lower()
    except idna.IDNAError:
        return text
